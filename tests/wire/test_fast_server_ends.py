"""How calls end on a server of the fast transport, however late or wrong handlers and callers are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Routes, ServerCall, StatusError
from tests.kit.fast_served import ask, serving, status_of
from tests.kit.h2_peer import calling
from tests.kit.peers import failing, soon

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


@pytest.mark.parametrize("path", [b"/t.T/one", b"/t.T/many", b"/t.T/both"])
async def test_a_handler_whose_time_is_up_is_cancelled_once(path: bytes) -> None:
    """What it does at its end may take longer than the stream lives."""
    gate, tidied = asyncio.Event(), asyncio.Event()

    async def last() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await gate.wait()
            tidied.set()

    async def one(_: bytes, __: ServerCall) -> bytes:
        await last()
        return b""

    async def many(_: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        yield b"first"
        await last()

    async def both(_: AsyncIterator[bytes], __: ServerCall) -> None:
        await last()

    routes = Routes(unary={"/t.T/one": one}, stream={"/t.T/many": many}, duplex={"/t.T/both": both})
    async with serving(routes) as (server, _):
        peer = await calling(server.port)
        ask(peer, path, b"", (b"grpc-timeout", b"20m"))
        assert int((await status_of(peer))[b"grpc-status"]) == Code.DEADLINE_EXCEEDED
        gate.set()
        await soon(tidied)


async def test_who_asks_after_the_end_is_told_of_it() -> None:
    """As by the other transport. One that fails keeps no other from being told."""
    arrived, told = asyncio.Event(), asyncio.Event()

    async def late(_: bytes, call: ServerCall) -> bytes:
        try:
            arrived.set()
            return await asyncio.get_running_loop().create_future()
        finally:
            call.on_done(lambda: {}["missing"])
            call.on_done(told.set)

    async with serving(Routes(unary={"/t.T/late": late})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        running = asyncio.ensure_future(channel.unary("/t.T/late", b""))
        await soon(arrived)
        running.cancel()
        await soon(told)
        await channel.close()


@pytest.mark.parametrize("wrong", [None, 7, "text", "text" * 10_000])
async def test_an_answer_that_is_no_bytes_is_a_failure(wrong: Any) -> None:
    """Of whoever wrote the handler; his caller gets a status all the same."""

    async def give(_: bytes, __: ServerCall) -> Any:
        return wrong

    async def write(_: bytes, __: ServerCall) -> AsyncIterator[Any]:
        yield wrong

    async with serving(Routes(unary={"/t.T/give": give}, stream={"/t.T/write": write})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        assert (await failing(lambda: channel.unary("/t.T/give", b"", timeout=5))).code is Code.INTERNAL
        stream = channel.stream("/t.T/write", b"", timeout=5)
        assert (await failing(lambda: anext(stream))).code is Code.INTERNAL
        await stream.aclose()
        await channel.close()


async def test_trailers_that_are_no_metadata_are_a_failure() -> None:
    """The same, whether the answer is in many parts or one; another status than OK goes without them."""

    async def one(_: bytes, call: ServerCall) -> bytes:
        call.set_trailers((("k", 7),))  # type: ignore[arg-type]
        return b""

    async def many(_: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        call.set_trailers((("k", 7),))  # type: ignore[arg-type]
        yield b""

    async def none(_: bytes, __: ServerCall) -> bytes:
        raise StatusError(Code.ABORTED, "no", trailers=(("k", 7),))  # type: ignore[arg-type]

    async with serving(Routes(unary={"/t.T/one": one, "/t.T/none": none}, stream={"/t.T/many": many})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        assert (await failing(lambda: channel.unary("/t.T/one", b"", timeout=5))).code is Code.INTERNAL
        assert (await failing(lambda: channel.unary("/t.T/none", b"", timeout=5))).code is Code.ABORTED
        stream = channel.stream("/t.T/many", b"", timeout=5)
        assert await anext(stream) == b""
        assert (await failing(lambda: anext(stream))).code is Code.INTERNAL
        await stream.aclose()
        await channel.close()
