"""Several workers on a port, what may be put around them, and workers as programs."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from fanmesh.model.fault import Code
from fanmesh.model.usage import Usage
from fanmesh.payload import from_value, to_value
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import RpcError
from fanmesh.v1 import worker_pb2
from fanmesh.workers import Context, serve
from tests.kit.served import PROCESS, PROCESS_STREAM, Answer, Query, geo, process, refused, served, stream, tell, words


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
    import threading
    from fanmesh import worker
    from fanmesh.workers import Context, run

    @worker
    async def slow(q: dict, ctx: Context) -> str:
        print("entered", flush=True)
        return await asyncio.to_thread(sys.stdin.readline)

    @worker
    def stuck(q: dict) -> None:
        print("entered", flush=True)
        threading.Event().wait()

    @worker
    async def die(q: dict) -> str:
        return ""

    class Act:
        delay_ns, parts, code = 0, 0, None
        class outcome:
            value = "die"

    behaviour = (lambda name: Act) if "die" in sys.argv else None
    one, drain = (stuck, 0.1) if "stuck" in sys.argv else (slow, 10)
    run(one, ready=lambda port: print(port, flush=True), behaviour=behaviour, drain=drain)
    print("over")
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
async def test_a_thread_that_is_stuck_does_not_keep_its_program() -> None:
    """It has had its time; what the program does at its end is done, and the log says what was left."""
    with program("stuck") as (running, port):
        channel = GrpcTransport().connect(f"127.0.0.1:{port}")
        call = asyncio.ensure_future(refused(channel, {}))
        assert running.stdout
        assert await asyncio.to_thread(running.stdout.readline) == "entered\n"
        running.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait, 10) == 0
        assert running.stdout.read() == "over\n"
        await call
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
    assert asyncio.run(geo(Query("x"), ctx)) == Answer("X")
    assert ctx.usage == Usage(3, 4, 200)
    assert json.dumps(ctx.labels) == '{"model": "m1"}'
