"""How calls end on a server of the fast transport, however late, slow or wrong handlers and callers are; and how it stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport, server_connection
from fanmesh.transport.port import Routes, ServerCall, StatusError
from tests.kit.fast_served import ask, serving, status_of
from tests.kit.h2_peer import Unhurried, calling, message, request
from tests.kit.peers import Worker, failing, soon
from tests.kit.scripted import Scripted, Wire, turns

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

    def broken() -> None:
        raise KeyError("missing")

    async def late(_: bytes, call: ServerCall) -> bytes:
        try:
            arrived.set()
            await asyncio.get_running_loop().create_future()
        finally:
            call.on_done(broken)
            call.on_done(told.set)
        return b""

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


async def test_a_caller_is_not_asked_to_stop_before_it_has_the_status() -> None:
    """The end of an answer may wait for the window of the connection, though nothing of the answer itself waits."""
    go, done = asyncio.Event(), asyncio.Event()

    async def chat(requests: AsyncIterator[bytes], call: ServerCall) -> None:
        await call.write(await anext(requests))
        await go.wait()
        done.set()

    async with serving(Routes(unary=Worker().routes().unary, duplex={"/t.T/chat": chat})) as (server, _):
        peer = await calling(server.port, Unhurried)
        stream = peer.h2.send_request(request(b"/t.T/chat"))
        peer.h2.send_data(stream, message(b"hello"))
        ask(peer, b"/t.T/echo", b"x" * 200_000)
        while sum(len(event.data) for event in peer.of(ngh2.DataReceived)) < 65_535:
            await peer.wait(ngh2.DataReceived, len(peer.of(ngh2.DataReceived)) + 1)
        go.set()
        await soon(done)
        peer.h2.ping()
        peer.flush()
        await peer.wait(ngh2.PingAcknowledged)
        assert not peer.of(ngh2.StreamReset)
        peer.h2.set_local_window_size(1 << 30)
        peer.flush()
        assert dict((await peer.wait(ngh2.TrailersReceived)).headers)[b"grpc-status"] == b"0"
        reset = await peer.wait(ngh2.StreamReset)
        assert (reset.stream_id, reset.error_code) == (stream, ngh2.ErrorCode.NO_ERROR)


async def test_an_answer_that_is_taken_slowly_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte, for longer than one that nobody takes is kept."""
    monkeypatch.setattr(server_connection, "LINGER", 0.05)
    loop = asyncio.get_running_loop()
    async with serving() as (server, _):
        peer = await calling(server.port, Unhurried)
        peer.h2.update_settings({4: 1})
        peer.flush()
        await peer.wait(ngh2.SettingsAcknowledged, 2)
        stream = ask(peer, b"/t.T/echo", b"x" * 20_000)
        await peer.wait(ngh2.DataReceived)
        until, window = loop.time() + 0.25, 1
        while loop.time() < until and not peer.of(ngh2.StreamReset):
            window += 1
            peer.h2.set_local_window_size(window, stream_id=stream)
            peer.flush()
            await peer.wait(ngh2.DataReceived, window)
        peer.h2.set_local_window_size(30_000, stream_id=stream)
        peer.flush()
        assert (await status_of(peer))[b"grpc-status"] == b"0"
        assert sum(len(event.data) for event in peer.of(ngh2.DataReceived)) == 20_005


async def test_a_connection_that_comes_up_after_the_stop_is_told_to_go() -> None:
    """Accepted before it, and not yet made: GOAWAY, so that the calls on it go elsewhere; and it is closed."""
    server: Any = FAST.server("127.0.0.1:0", Worker().routes())
    await server.start()
    connection, wire = server._accept(), Wire()
    await server.stop()
    connection.connection_made(wire)
    assert wire.shut
    assert not server._connections
    peer = Scripted(ngh2.Role.CLIENT, wire, connection.data_received)
    peer.h2.receive_data(bytes(wire.out))
    assert [event.last_stream_id for event in peer.h2.events() if isinstance(event, ngh2.GoAwayReceived)] == [0]


async def test_a_peer_that_goes_when_it_is_told_to_goes_in_good_order() -> None:
    """It answers the ping of the notice, says GOAWAY and has no calls: all in one read, after which there is nothing to say."""
    server: Any = FAST.server("127.0.0.1:0", Worker().routes())
    connection, wire = server._accept(), Wire()
    connection.connection_made(wire)
    peer = Scripted(ngh2.Role.CLIENT, wire, connection.data_received)
    peer.exchange()
    connection.retire()
    await turns()
    peer.h2.receive_data(bytes(wire.out))
    peer.h2.send_goaway()
    connection.data_received(peer.h2.data_to_send())
    await turns()
    assert wire.shut
    assert not server._connections
    await server.stop()
