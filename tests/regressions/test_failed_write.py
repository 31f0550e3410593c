"""A write that failed took the peer's status, and its last messages, away from the reader, who then saw a good end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.grpc_streams import write_publicly
from fanmesh.transport.port import Duplex, Routes, RpcError, ServerCall, StatusError

pytestmark = pytest.mark.asyncio

PATH = "/t.T/early"


@asynccontextmanager
async def called(messages: int, code: Code = Code.RESOURCE_EXHAUSTED) -> AsyncIterator[Duplex]:
    """A call whose peer sends so many messages and ends at once, without reading."""

    async def early(_: AsyncIterator[bytes], call: ServerCall) -> None:
        for number in range(messages):
            await call.write(b"%d" % number)
        if code is not Code.OK:
            raise StatusError(code, "enough", trailers=(("why", "said"),))

    server = GrpcTransport().server("127.0.0.1:0", Routes(duplex={PATH: early}))
    await server.start()
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    call = channel.duplex(PATH, timeout=20)
    yield call
    await call.aclose()
    assert not channel.live
    await channel.close()
    await server.stop()


async def refused(write: Callable[[], Awaitable[None]]) -> RpcError:
    """Write until it fails, which it does once the peer's end has arrived."""
    async with asyncio.timeout(10):
        while True:
            try:
                await write()
            except RpcError as failed:
                return failed


async def failing(call: Duplex) -> RpcError:
    """A read that fails."""
    with pytest.raises(RpcError) as failed:
        await call.read()
    return failed.value


async def test_after_a_failed_write_reads_say_how_the_call_ended() -> None:
    """The peer's status, with its trailers, each time; not the end of a good stream."""
    async with called(0) as call:
        wrote = await refused(lambda: call.write(b"more"))
        assert (wrote.code, wrote.message) == (Code.RESOURCE_EXHAUSTED, "enough")
        first = await failing(call)
        assert (first.code, first.message) == (Code.RESOURCE_EXHAUSTED, "enough")
        assert ("why", "said") in tuple(call.trailers)
        assert await failing(call) is first


@pytest.mark.parametrize("code", [Code.RESOURCE_EXHAUSTED, Code.OK])
async def test_after_a_failed_write_messages_on_their_way_still_arrive(code: Code) -> None:
    """A peer that had enough has said its last word before: it is read, and then the status, OK among them."""
    async with called(3, code) as call:
        wrote = await refused(lambda: call.write(b"more"))
        assert (wrote.code, wrote.sent) == (Code.UNAVAILABLE, True)
        await call.half_close()
        assert [await call.read() for _ in range(3)] == [b"0", b"1", b"2"]
        if code is Code.OK:
            assert await call.read() is None
            assert (await refused(lambda: call.write(b"more"))).code is Code.FAILED_PRECONDITION
        else:
            first = await failing(call)
            assert (first.code, first.message) == (code, "enough")
            assert await failing(call) is first


async def test_a_failed_read_fails_again_after_the_call_is_closed() -> None:
    """Closing does not turn a bad end into a good one."""
    async with called(0) as call:
        first = await failing(call)
        await call.aclose()
        assert await failing(call) is first


async def test_the_public_way_of_writing_never_shows_a_good_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a grpcio that nobody has looked into the status may be grpc's own, but it is one."""
    monkeypatch.setattr("fanmesh.transport.grpc_streams.write", write_publicly)
    async with called(1) as call:
        assert (await refused(lambda: call.write(b"more"))).code is Code.INTERNAL
        first = await failing(call)
        assert first.code is not Code.OK
        assert await failing(call) is first
