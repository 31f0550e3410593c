"""Workers served on real sockets: inputs, answers, failures, parts."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from fanmesh.model.fault import Code, Fault
from fanmesh.model.usage import Usage
from fanmesh.model.values import Opaque
from fanmesh.payload import from_value, to_value
from fanmesh.transport.grpc_aio import GrpcChannel, GrpcTransport
from fanmesh.transport.port import Metadata, RpcError
from fanmesh.transport.status import pushback
from fanmesh.v1 import worker_pb2
from fanmesh.workers import Context, Replace, Worker, serve, worker

PROCESS = "/fanmesh.v1.WorkerService/Process"
PROCESS_STREAM = "/fanmesh.v1.WorkerService/ProcessStream"


@dataclass
class _Query:
    ip: str
    depth: int = 1


@dataclass
class _Answer:
    country: str


@worker("geo")
async def geo(q: _Query, ctx: Context) -> _Answer:
    """One that answers once."""
    ctx.report(confidence=0.5, cost_usd="0.0002", input_tokens=3, output_tokens=4, labels={"model": "m1"})
    return _Answer(q.ip.upper())


@worker("tell")
async def tell(_: Any, ctx: Context) -> dict[str, Any]:
    """Says what it knows of its call."""
    remaining = ctx.remaining()
    return {
        "request": [ctx.request_id, ctx.plan, ctx.branch, ctx.item_key, ctx.attempt, ctx.shadow, ctx.idempotency_key],
        "allowance": ctx.allowance and ctx.allowance.input_tokens,
        "attributes": dict(ctx.attributes),
        "traceparent": ctx.metadata.get("traceparent"),
        "in time": remaining is not None and 0 < remaining < 5.1,
    }


@worker("words")
async def words(q: dict[str, Any], ctx: Context) -> AsyncIterator[Any]:
    """Answers in parts."""
    for part in q["parts"]:
        yield Replace(part["replace"]) if isinstance(part, dict) and "replace" in part else part
    ctx.report(output_tokens=9)


@asynccontextmanager
async def served(*workers: Worker[Any], **options: Any) -> AsyncIterator[GrpcChannel]:
    server = await serve(*workers, **options)
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop()


async def process(channel: GrpcChannel, value: Any = None, metadata: Metadata = (), **more: Any) -> worker_pb2.ProcessResponse:
    request = worker_pb2.ProcessRequest(input=from_value(value), **more)
    reply = await channel.unary(PROCESS, request.SerializeToString(), timeout=5, metadata=metadata)
    return worker_pb2.ProcessResponse.FromString(reply.payload)


async def stream(channel: GrpcChannel, value: Any = None) -> list[worker_pb2.ProcessStreamResponse]:
    request = worker_pb2.ProcessStreamRequest(input=from_value(value))
    parts = channel.stream(PROCESS_STREAM, request.SerializeToString(), timeout=5)
    try:
        return [worker_pb2.ProcessStreamResponse.FromString(raw) async for raw in parts]
    finally:
        await parts.aclose()


async def refused(channel: GrpcChannel, value: Any = None, metadata: Metadata = ()) -> RpcError:
    with pytest.raises(RpcError) as e:
        await process(channel, value, metadata)
    return e.value


@pytest.mark.asyncio
async def test_a_worker_gets_its_type_and_answers_with_what_it_reports() -> None:
    """Input by annotation, answer as JSON, confidence, usage and labels beside it."""
    async with served(geo) as channel:
        response = await process(channel, {"ip": "fr", "unknown": 1})
        assert to_value(response.output) == {"country": "FR"}
        assert (response.confidence, dict(response.labels)) == (0.5, {"model": "m1"})
        used = response.usage
        assert (used.input_tokens, used.output_tokens, used.cost_usd_micros) == (3, 4, 200)


@pytest.mark.asyncio
async def test_a_worker_knows_its_call() -> None:
    """Every field of the request, the headers and the deadline are in the context."""
    async with served(tell) as channel:
        response = await process(
            channel,
            metadata=(("traceparent", "00-a-b-01"), ("raw-bin", b"\x00")),
            request_id="r",
            plan="p",
            branch="b",
            item_key="i",
            attempt=2,
            shadow=True,
            idempotency_key="k",
            allowance={"input_tokens": 7},
            attributes={"tenant": "acme"},
        )
        assert to_value(response.output) == {
            "request": ["r", "p", "b", "i", 2, True, "k"],
            "allowance": 7,
            "attributes": {"tenant": "acme"},
            "traceparent": "00-a-b-01",
            "in time": True,
        }
        assert not response.HasField("confidence")
        assert not response.HasField("usage")


@pytest.mark.asyncio
async def test_input_that_does_not_fit_names_the_field() -> None:
    """INVALID_ARGUMENT, before the worker is asked; the same for bytes that are no request, and for text that is no JSON."""
    async with served(geo) as channel:
        error = await refused(channel, {"ip": "x", "depth": "deep"})
        assert error.code is Code.INVALID_ARGUMENT
        assert error.message.startswith("input.depth: ")
        for raw in (b"\xff", worker_pb2.ProcessRequest(input={"json": "{"}).SerializeToString()):
            with pytest.raises(RpcError) as e:
                await channel.unary(PROCESS, raw)
            assert e.value.code is Code.INVALID_ARGUMENT


@pytest.mark.asyncio
async def test_every_way_to_fail_has_its_status() -> None:
    """A Fault keeps its code, text and pushback; an exception shows its type; an answer that is no JSON says so."""

    @worker("fails")
    async def fails(how: str) -> Any:
        match how:
            case "fault":
                raise Fault.not_found("ip")
            case "pushback":
                raise Fault.resource_exhausted("slow down", retry_after_ms=250)
            case "nan":
                return {"score": float("nan")}
            case "object":
                return object()
        raise KeyError("secret")

    async with served(fails) as channel:
        error = await refused(channel, "fault")
        assert (error.code, error.message, pushback(error.trailers)) == (Code.NOT_FOUND, "ip", None)
        error = await refused(channel, "pushback")
        assert (error.code, pushback(error.trailers)) == (Code.RESOURCE_EXHAUSTED, 250)
        error = await refused(channel, "crash")
        assert (error.code, error.message) == (Code.INTERNAL, "KeyError")
        error = await refused(channel, "nan")
        assert (error.code, error.message) == (Code.INTERNAL, "the answer is not JSON: score: nan is not JSON")
        error = await refused(channel, "object")
        assert (error.code, error.message) == (Code.INTERNAL, "the answer is not JSON: object has no JSON form")


@pytest.mark.asyncio
async def test_blobs_pass_through_a_worker() -> None:
    """What is closed is given and taken as it is."""

    @worker
    async def image(data: bytes) -> Opaque:
        return Opaque("image/png", data + b"!", is_message=False)

    async with served(image) as channel:
        response = await process(channel, Opaque("image/png", b"\x89", is_message=False))
        assert to_value(response.output) == Opaque("image/png", b"\x89!", is_message=False)


@pytest.mark.asyncio
async def test_a_plain_function_runs_beside_the_loop_and_sees_that_nobody_waits() -> None:
    """It blocks a thread and not the server; a cancelled caller turns `ctx.cancelled` true."""
    entered, seen = threading.Event(), threading.Event()

    @worker
    def slow(q: dict[str, Any], ctx: Context) -> str:
        if q.get("quick"):
            return threading.current_thread().name
        entered.set()
        for _ in range(5000):
            if ctx.cancelled:
                seen.set()
                break
            seen.wait(0.001)
        return ""

    async with served(slow) as channel:
        task = asyncio.ensure_future(process(channel, {}))
        assert await asyncio.to_thread(entered.wait, 5)
        assert str(to_value((await process(channel, {"quick": True})).output)).startswith("fanmesh-worker")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(seen.wait, 5)


@pytest.mark.asyncio
async def test_a_cancelled_call_cancels_the_coroutine() -> None:
    """And the context says so to whatever it has started."""
    entered: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
    cancelled = asyncio.Event()

    @worker
    async def hang(ctx: Context) -> None:
        entered.set_result(ctx)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with served(hang) as channel:
        task = asyncio.ensure_future(process(channel))
        ctx = await entered
        assert not ctx.cancelled
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(cancelled.wait(), 5)


@pytest.mark.asyncio
async def test_parts_are_streamed_as_they_are_yielded() -> None:
    """A bare value is APPEND, Replace is REPLACE, and what is reported after the last part comes with an empty one."""
    async with served(words) as channel:
        parts = await stream(channel, {"parts": [["a"], {"replace": ["b"]}, ["c"]]})
        assert [(to_value(p.part), p.mode) for p in parts] == [
            (["a"], worker_pb2.PART_MODE_APPEND),
            (["b"], worker_pb2.PART_MODE_REPLACE),
            (["c"], worker_pb2.PART_MODE_APPEND),
            (None, worker_pb2.PART_MODE_APPEND),
        ]
        assert [p.usage.output_tokens for p in parts] == [0, 0, 0, 9]


@pytest.mark.asyncio
async def test_process_on_a_streaming_worker_is_the_sum_of_its_parts() -> None:
    """Folded by the rules of APPEND and REPLACE; parts that do not add up are the worker's defect."""
    async with served(words) as channel:
        parts = [{"t": "a", "l": [1]}, {"t": "b", "l": [2], "m": 1}]
        assert to_value((await process(channel, {"parts": parts})).output) == {"t": "ab", "l": [1, 2], "m": 1}
        response = await process(channel, {"parts": ["x", {"replace": 1}, {"replace": 2}]})
        assert (to_value(response.output), response.usage.output_tokens) == (2, 9)
        assert to_value((await process(channel, {"parts": []})).output) is None
        error = await refused(channel, {"parts": [{"n": 1}, {"n": 2}]})
        assert (error.code, error.message.split(":")[0]) == (Code.INTERNAL, "the parts do not add up")


@pytest.mark.asyncio
async def test_process_stream_on_a_worker_that_answers_once_is_one_part() -> None:
    """The whole, as REPLACE, with what it reported."""
    async with served(geo) as channel:
        (part,) = await stream(channel, {"ip": "fr"})
        assert (to_value(part.part), part.mode, part.confidence) == ({"country": "FR"}, worker_pb2.PART_MODE_REPLACE, 0.5)


@pytest.mark.asyncio
async def test_a_stream_that_fails_gives_its_parts_and_then_the_status() -> None:
    """Whatever it raises, and whatever it yields that is not JSON."""

    @worker
    async def breaks(how: str) -> AsyncIterator[Any]:
        yield "part"
        if how == "nan":
            yield float("nan")
        if how == "fault":
            raise Fault.unavailable("gone")
        raise RuntimeError("secret")

    async with served(breaks) as channel:
        for how, code, message in (
            ("nan", Code.INTERNAL, "the answer is not JSON: nan is not JSON"),
            ("fault", Code.UNAVAILABLE, "gone"),
            ("crash", Code.INTERNAL, "RuntimeError"),
        ):
            request = worker_pb2.ProcessStreamRequest(input=from_value(how))
            parts = channel.stream(PROCESS_STREAM, request.SerializeToString(), timeout=5)
            assert to_value(worker_pb2.ProcessStreamResponse.FromString(await anext(parts)).part) == "part"
            with pytest.raises(RpcError) as e:
                await anext(parts)
            assert (e.value.code, e.value.message) == (code, message)
            await parts.aclose()


@pytest.mark.asyncio
async def test_leaving_a_stream_ends_the_generator() -> None:
    """Its `finally` runs at the worker, and the context says that nobody waits."""
    contexts: list[Context] = []
    closed = asyncio.Event()

    @worker
    async def endless(ctx: Context) -> AsyncIterator[str]:
        contexts.append(ctx)
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        finally:
            closed.set()

    async with served(endless) as channel:
        parts = channel.stream(PROCESS_STREAM, worker_pb2.ProcessStreamRequest().SerializeToString())
        await anext(parts)
        await parts.aclose()
        await asyncio.wait_for(closed.wait(), 5)
        assert contexts[0].cancelled


@pytest.mark.asyncio
async def test_several_workers_share_a_port_and_are_told_apart_by_name() -> None:
    """`fanmesh-worker` chooses; a wrong name is told the right ones; health knows each."""
    async with served(geo, tell) as channel:
        response = await process(channel, {"ip": "de"}, metadata=(("fanmesh-worker", "geo"),))
        assert to_value(response.output) == {"country": "DE"}
        for metadata in ((), (("fanmesh-worker", "other"),)):
            error = await refused(channel, {}, metadata)
            assert error.code is Code.INVALID_ARGUMENT
            assert error.message.endswith("is none of geo, tell")
        for name in ("geo", "tell", "", "fanmesh.v1.WorkerService"):
            request = HealthCheckRequest(service=name).SerializeToString()
            reply = await channel.unary("/grpc.health.v1.Health/Check", request)
            assert HealthCheckResponse.FromString(reply.payload).status == HealthCheckResponse.SERVING


@pytest.mark.asyncio
async def test_names_are_unique_and_there_is_at_least_one() -> None:
    """Two workers that nobody could tell apart are refused at the start."""
    with pytest.raises(ValueError, match="geo, geo"):
        await serve(geo, geo)
    with pytest.raises(ValueError, match="none given"):
        await serve()


class _Outcome(Enum):
    OK = "ok"
    FAIL = "fail"
    HANG = "hang"
    RUBBISH = "rubbish"
    HALF_STREAM = "half-stream"


@dataclass
class _Act:
    outcome: _Outcome
    delay_ns: int = 0
    code: Code = Code.OK
    parts: int = 0


@pytest.mark.asyncio
async def test_a_behaviour_acts_before_the_worker() -> None:
    """It fails, delays, hangs, talks rubbish or breaks off, by decision and per worker; None and ok leave the worker alone."""
    acts: Iterator[_Act | None] = iter(
        [
            None,
            _Act(_Outcome.OK, delay_ns=1000),
            _Act(_Outcome.FAIL, code=Code.UNAVAILABLE),
            _Act(_Outcome.RUBBISH),
            _Act(_Outcome.HALF_STREAM, parts=1),
            _Act(_Outcome.HALF_STREAM, parts=2),
            _Act(_Outcome.HALF_STREAM, parts=9),
            _Act(_Outcome.RUBBISH),
            _Act(_Outcome.HANG),
        ]
    )
    asked: list[str] = []

    def behaviour(name: str) -> _Act | None:
        asked.append(name)
        return next(acts)

    async with served(words, behaviour=behaviour) as channel:
        value = {"parts": ["a", "b", "c"]}
        for _ in range(2):
            assert to_value((await process(channel, value)).output) == "abc"
        assert (await refused(channel, value)).code is Code.UNAVAILABLE
        request = worker_pb2.ProcessRequest(input=from_value(value)).SerializeToString()
        assert (await channel.unary(PROCESS, request)).payload == b"\xff\xff\xff\xff"
        assert (await refused(channel, value)).code is Code.UNAVAILABLE
        for expected in (2, 4):
            parts = channel.stream(PROCESS_STREAM, request, timeout=5)
            for _ in range(expected):
                await anext(parts)
            with pytest.raises(RpcError) as e:
                await anext(parts)
            assert e.value.code is Code.UNAVAILABLE
            await parts.aclose()
        parts = channel.stream(PROCESS_STREAM, request, timeout=5)
        assert [raw async for raw in parts] == [b"\xff\xff\xff\xff"]
        await parts.aclose()
        with pytest.raises(RpcError) as e:
            await channel.unary(PROCESS, request, timeout=0.05)
        assert e.value.local_deadline
        assert asked == ["words"] * 9


@pytest.mark.asyncio
async def test_an_observer_is_around_every_call() -> None:
    """It sees the method and the context, and what the call ended with."""
    seen: list[tuple[str, str, str]] = []

    @contextmanager
    def observe(method: str, ctx: Context) -> Iterator[None]:
        try:
            yield
        except BaseException as e:
            seen.append((method, ctx.request_id, str(e)))
            raise
        seen.append((method, ctx.request_id, "ok"))

    async with served(geo, observe=observe) as channel:
        await process(channel, {"ip": "x"}, request_id="r1")
        await refused(channel, {})
        await stream(channel, {"ip": "x"})
    name = "fanmesh.v1.WorkerService"
    assert seen == [
        (f"{name}/Process", "r1", "ok"),
        (f"{name}/Process", "", "INVALID_ARGUMENT: input.ip: Field required"),
        (f"{name}/ProcessStream", "", "ok"),
    ]


PROGRAM = """
    import asyncio
    import sys
    from fanmesh import worker
    from fanmesh.workers import Context, run

    @worker
    async def slow(q: dict, ctx: Context) -> str:
        print("entered", flush=True)
        return await asyncio.to_thread(sys.stdin.readline)

    @worker
    async def die(q: dict) -> str:
        return ""

    class Act:
        delay_ns, parts, code = 0, 0, None
        class outcome:
            value = "die"

    behaviour = (lambda name: Act) if "die" in sys.argv else None
    run(slow, ready=lambda port: print(port, flush=True), behaviour=behaviour, drain=10)
"""


@contextmanager
def program(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process_:
        try:
            assert process_.stdout
            yield process_, int(process_.stdout.readline())
        finally:
            process_.kill()


@pytest.mark.asyncio
async def test_a_worker_program_drains_on_sigterm() -> None:
    """The call that is running gets its answer; then the program ends well."""
    with program() as (running, port):
        channel = GrpcTransport().connect(f"127.0.0.1:{port}")
        call = asyncio.ensure_future(process(channel, {}))
        assert running.stdout
        assert await asyncio.to_thread(running.stdout.readline) == "entered\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdin
        running.stdin.write("done\n")
        running.stdin.flush()
        assert to_value((await call).output) == "done\n"
        assert await asyncio.to_thread(running.wait, 5) == 0
        await channel.close()


@pytest.mark.asyncio
async def test_a_worker_told_to_die_takes_its_process_with_it() -> None:
    """The caller sees a connection that broke after it had sent."""
    with program("die") as (running, port):
        channel = GrpcTransport().connect(f"127.0.0.1:{port}")
        error = await refused(channel, {})
        assert (error.code, error.sent) == (Code.UNAVAILABLE, True)
        assert await asyncio.to_thread(running.wait, 5) == 70
        await channel.close()


def test_a_worker_is_still_its_function() -> None:
    """Tests of a worker need no server."""
    ctx = Context()
    assert asyncio.run(geo(_Query("x"), ctx)) == _Answer("X")
    assert ctx.usage == Usage(3, 4, 200)
    assert json.dumps(ctx.labels) == '{"model": "m1"}'
