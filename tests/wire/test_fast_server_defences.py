"""What a server of the fast transport does about callers that mean harm, or have gone."""

import asyncio
from typing import Any

import ngh2
import pytest

from fanmesh.transport.fast import server_connection
from tests.kit.fast_served import ask, serving, status_of
from tests.kit.h2_peer import Unhurried, calling, request
from tests.kit.peers import soon

pytestmark = pytest.mark.asyncio


async def test_streams_that_are_reset_before_they_are_answered_end_the_connection() -> None:
    """Rapid reset: GOAWAY ENHANCE_YOUR_CALM once the bucket is empty, and all handlers are cancelled."""
    async with serving() as (server, _):
        peer = await calling(server.port)

        async def attack() -> None:
            for done in range(1, 100):
                streams = [ask(peer, b"/t.T/hang") for _ in range(100)]
                for stream in streams:
                    peer.h2.reset_stream(stream, 8)
                peer.h2.ping()
                peer.flush()
                await peer.wait(ngh2.PingAcknowledged, done)

        with pytest.raises(ConnectionError):
            await attack()
        await peer.gone()
        assert peer.of(ngh2.GoAwayReceived)[-1].error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM
        assert not server._connections
        other = await calling(server.port)
        ask(other)
        assert (await status_of(other))[b"grpc-status"] == b"0"


GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]


async def test_streams_that_are_no_calls_are_counted_when_they_are_reset() -> None:
    """They are opened and refused, and to reset them is as cheap."""
    async with serving() as (server, _):
        peer = await calling(server.port)

        async def attack() -> None:
            for done in range(1, 100):
                streams = [peer.h2.send_request(GET) for _ in range(100)]
                sent = peer.h2.data_to_send()
                for stream in streams:
                    peer.h2.reset_stream(stream, 8)
                peer.h2.ping()
                peer.transport.write(sent + peer.h2.data_to_send())
                await peer.wait(ngh2.PingAcknowledged, done)

        with pytest.raises(ConnectionError):
            await attack()
        await peer.gone()
        assert peer.of(ngh2.GoAwayReceived)[-1].error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM


async def test_streams_that_the_engine_resets_are_counted() -> None:
    """MadeYouReset: a call starts a handler, its body is not what its content-length says, and its caller resets nothing."""
    async with serving() as (server, _):
        peer = await calling(server.port)

        async def attack() -> None:
            for done in range(1, 100):
                sent = b""
                for _ in range(100):
                    stream = peer.h2.send_request(request(b"/t.T/chat", (b"content-length", b"1")))
                    sent += peer.h2.data_to_send() + b"\0\0\2\0\0" + stream.to_bytes(4, "big") + b"\0\0"
                peer.transport.write(sent)
                await peer.wait(ngh2.StreamReset, 100 * done)

        with pytest.raises((ConnectionError, ngh2.ConnectionStateError)):
            await attack()
        await peer.gone()
        assert peer.of(ngh2.GoAwayReceived)[-1].error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("begun", [GET, request(b"/t.T/missing"), request()], ids=["no call", "no method", "a call"])
@pytest.mark.parametrize("last", [False, True], ids=["it goes on", "it ends"])
async def test_a_stream_that_comes_and_goes_in_one_read_harms_no_other(begun: list[tuple[bytes, bytes]], last: bool) -> None:  # noqa: FBT001
    """There is nobody to answer any more: the next call on the connection is served, or the connection ends in good order."""
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with serving() as (server, worker):
        peer = await calling(server.port)
        ask(peer, b"/t.T/hang")
        await soon(worker.arrived)
        stream = peer.h2.send_request(begun)
        sent = peer.h2.data_to_send()
        peer.h2.reset_stream(stream, 8)
        if last:
            peer.h2.reset_stream(1, 8)
            peer.h2.send_goaway()
        peer.transport.write(sent + peer.h2.data_to_send())
        if last:
            await soon(worker.cancelled)
            await peer.gone()
        else:
            ask(peer)
            await peer.wait(ngh2.TrailersReceived)
            assert not worker.cancelled.is_set()
    assert not failures


async def test_a_deadline_in_an_age_of_man_dies_with_its_connection() -> None:
    """No timer of the loop is left for it."""
    async with serving() as (server, worker):
        peer = await calling(server.port)
        ask(peer, b"/t.T/hang", b"", (b"grpc-timeout", b"99999999H"))
        await soon(worker.arrived)
        [connection] = server._connections
        timer = connection.deadlines._timer
        assert not timer.cancelled()
        peer.transport.abort()
        await soon(worker.cancelled)
        assert timer.cancelled()
        assert not connection.deadlines._moments


@pytest.mark.parametrize(
    "fields",
    [[(b"x-%d" % n, b"v" * 1000) for n in range(100)], [(b"x-%d" % n, b"") for n in range(1000)]],
    ids=["large", "many"],
)
async def test_a_header_bomb_ends_the_connection_before_it_is_unpacked(fields: list[tuple[bytes, bytes]]) -> None:
    """Too large a list, or too many fields: ENHANCE_YOUR_CALM. Others are served on."""
    async with serving() as (server, _):
        peer = await calling(server.port)
        peer.h2.send_request(request(b"/t.T/echo", *fields), end_stream=True)
        peer.flush()
        await peer.gone()
        assert peer.of(ngh2.GoAwayReceived)[-1].error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM
        other = await calling(server.port)
        ask(other)
        assert (await status_of(other))[b"grpc-status"] == b"0"


async def test_endless_continuations_end_the_connection() -> None:
    """A header block that never ends is not collected."""
    async with serving() as (server, _):
        peer = await calling(server.port)
        peer.transport.write(b"\0\0\1\1\0\0\0\0\1\x82")  # HEADERS without END_HEADERS
        for _ in range(100):
            peer.transport.write(b"\0\0\1\x09\0\0\0\0\1\x82")  # CONTINUATION
        await peer.gone()


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff" * 64,
        b"GET / HTTP/1.1\r\n\r\n" * 4,
        b"\0\0\5\0\0\0\0\0\0hello",
        b"\xff\xff\xff\0\0\0\0\0\1",
        b"\0\0\0\x03\0\0\0\0\1",
    ],
    ids=["noise", "http/1", "data on stream 0", "too long", "empty reset"],
)
async def test_malformed_frames_end_the_connection_and_nothing_else(junk: bytes) -> None:
    """The call that runs on it is cancelled; the server goes on."""
    async with serving() as (server, worker):
        peer = await calling(server.port)
        ask(peer, b"/t.T/hang")
        await soon(worker.arrived)
        peer.transport.write(junk)
        await peer.gone()
        await soon(worker.cancelled)
        other = await calling(server.port)
        ask(other)
        assert (await status_of(other))[b"grpc-status"] == b"0"


async def test_a_flood_of_pings_ends_the_connection() -> None:
    """Unless data comes between them, as when a client measures its bandwidth."""
    async with serving() as (server, _):
        peer = await calling(server.port)

        async def flood() -> None:
            for n in range(1, 50):
                for _ in range(100):
                    peer.h2.ping()
                peer.flush()
                await peer.wait(ngh2.PingAcknowledged, 100 * n)

        with pytest.raises(ConnectionError):
            await flood()
        await peer.gone()
        assert peer.of(ngh2.GoAwayReceived)[-1].error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM


async def test_a_peer_that_never_says_hello_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection costs memory: silence from the start ends it."""
    monkeypatch.setattr("fanmesh.transport.fast.connection.GREETING", 0.02)
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.wait_for(reader.read(), 5)  # up to its end
        assert not server._connections
        writer.close()


async def test_a_peer_that_has_fallen_silent_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection: nobody answers the ping."""
    monkeypatch.setattr(server_connection, "IDLE_PING", 0.02)
    monkeypatch.setattr(server_connection, "IDLE_ANSWER", 0.02)
    async with serving() as (server, worker):
        peer = await calling(server.port)
        ask(peer, b"/t.T/hang")
        await soon(worker.arrived)
        await peer.wait(ngh2.PingReceived, 2)
        assert server._connections
        peer.deaf = True
        await soon(worker.cancelled)
        assert not server._connections


async def test_an_answer_that_nobody_takes_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that asks for much and opens no window holds memory for a while and no longer."""
    monkeypatch.setattr(server_connection, "LINGER", 0.05)
    async with serving() as (server, worker):
        peer = await calling(server.port, Unhurried)
        peer.h2.update_settings({4: 10})
        peer.flush()
        await peer.wait(ngh2.SettingsAcknowledged, 2)
        ask(peer, b"/t.T/echo", b"x" * 100_000)
        assert (await peer.wait(ngh2.StreamReset)).error_code == ngh2.ErrorCode.CANCEL
        await soon(worker.done)
