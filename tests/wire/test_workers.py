"""Workers served on real sockets: inputs, answers, failures."""

import asyncio
import threading
from typing import Any

import pytest

from fanmesh.model.fault import Code, Fault
from fanmesh.model.values import Opaque
from fanmesh.payload import to_value
from fanmesh.transport.port import RpcError
from fanmesh.transport.status import pushback
from fanmesh.v1 import worker_pb2
from fanmesh.workers import Context, worker
from tests.kit.served import PROCESS, geo, process, refused, served, tell


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
            case "returned":
                return Fault.not_found("ip")
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
        error = await refused(channel, "returned")
        assert (error.code, error.message) == (Code.INTERNAL, "returned a Fault; it has to be raised")


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
