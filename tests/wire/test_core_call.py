"""Unary calls made on grpc's core, and the public way that other versions get: both over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from grpc.aio import BaseError, UsageError

from fanmesh.model.fault import Code
from fanmesh.transport.core import Answered, call_core, call_publicly
from fanmesh.transport.grpc_aio import GrpcChannel, GrpcTransport
from fanmesh.transport.port import Metadata, Routes, ServerCall, StatusError

Call: TypeAlias = Callable[[GrpcChannel, bytes, bytes, float | None, Metadata], Awaitable[Answered]]

BOTH = pytest.mark.parametrize("call", [call_core, call_publicly])
pytestmark = pytest.mark.asyncio


class _Worker:
    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go = asyncio.Event()

    async def echo(self, request: bytes, call: ServerCall) -> bytes:
        call.set_trailers((("seen", call.header("asked")),))
        return request

    async def refuse(self, request: bytes, _: ServerCall) -> bytes:
        raise StatusError(Code.NOT_FOUND, request.decode(), trailers=(("extra", "1"),))

    async def hang(self, _: bytes, __: ServerCall) -> bytes:
        self.arrived.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b"late"


@asynccontextmanager
async def peers() -> AsyncIterator[tuple[_Worker, GrpcChannel]]:
    worker = _Worker()
    routes = Routes(unary={f"/t.T/{f.__name__}": f for f in (worker.echo, worker.refuse, worker.hang)})
    server = GrpcTransport().server("127.0.0.1:0", routes)
    await server.start()
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    try:
        yield worker, channel
    finally:
        await channel.close()
        await server.stop()


@BOTH
async def test_both_ways_give_the_same_answer(call: Call) -> None:
    """Payload, code and trailers; nothing is live afterwards."""
    async with peers() as (_, channel):
        payload, code, _, trailers = await call(channel, b"/t.T/echo", b"x", 5.0, (("asked", "yes"),))
        assert (payload, code, tuple(map(tuple, trailers))) == (b"x", 0, (("seen", "yes"),))
        assert not channel.live


@BOTH
async def test_both_ways_give_the_same_refusal(call: Call) -> None:
    """A status is an answer, not an exception."""
    async with peers() as (_, channel):
        payload, code, details, trailers = await call(channel, b"/t.T/refuse", b"why", None, ())
        assert (payload, code, details) == (None, int(Code.NOT_FOUND), "why")
        assert ("extra", "1") in [tuple(pair) for pair in trailers]
        assert not channel.live


@BOTH
@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_task_ends_cancelled_whenever_it_happens(call: Call, turns: int) -> None:
    """From "not begun" to "on the wire": the task ends, and nothing stays live."""
    async with peers() as (worker, channel):
        task = asyncio.ensure_future(call(channel, b"/t.T/hang", b"", 30.0, ()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not channel.live
        worker.go.set()


async def test_a_cancellation_reaches_the_worker_and_counts_once() -> None:
    """Cancelled twice it ends as one cancellation, after the core has freed what it held."""
    async with peers() as (worker, channel):
        task = asyncio.ensure_future(call_core(channel, b"/t.T/hang", b"", 30.0, ()))
        await asyncio.wait_for(worker.arrived.wait(), 5)
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(worker.cancelled.wait(), 5)


async def test_a_cancellation_wins_over_the_answer_that_came_with_it() -> None:
    """A task that was cancelled never goes on, also where the call had just ended well."""
    async with peers() as (worker, channel):
        task = asyncio.ensure_future(call_core(channel, b"/t.T/hang", b"", 30.0, ()))
        await asyncio.wait_for(worker.arrived.wait(), 5)
        [call] = channel.live
        call.add_done_callback(task.cancel)
        worker.go.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert not channel.live


@BOTH
async def test_a_closed_channel_takes_no_call(call: Call) -> None:
    """Told apart from what the core refuses, because such a call was certainly never sent."""
    async with peers() as (_, channel):
        await channel.close()
        with pytest.raises(UsageError):
            await call(channel, b"/t.T/echo", b"x", 5.0, ())


async def test_what_the_core_refuses_is_an_error_of_its_own() -> None:
    """Metadata with characters that do not belong there never leaves, and leaves nothing live."""
    async with peers() as (_, channel):
        with pytest.raises(BaseError):
            await call_core(channel, b"/t.T/echo", b"x", 5.0, (("Upper", "case"),))
        assert not channel.live


async def test_a_call_cancelled_by_closing_is_an_answer_of_the_public_way_too() -> None:
    """The task that waits was not cancelled, so it must not end as if it had been."""
    async with peers() as (worker, channel):
        task = asyncio.ensure_future(call_publicly(channel, b"/t.T/hang", b"", 30.0, ()))
        await asyncio.wait_for(worker.arrived.wait(), 5)
        await channel.close()
        payload, code, _, _ = await asyncio.wait_for(task, 5)
        assert (payload, code) == (None, int(Code.CANCELLED))
        await asyncio.wait_for(worker.cancelled.wait(), 5)
