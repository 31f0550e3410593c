"""The connection of a client of the fast transport: when it is made, asked for a sign of life, given up, and replaced."""

import asyncio
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.fast.connection import Connection
from fanmesh.transport.port import ChannelOptions
from tests.kit.h2_peer import HEAD, Peer, answer, answering, message, on_request
from tests.kit.peers import failing, soon

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


async def test_goaway_lets_finish_what_it_covers_and_what_is_above_it_was_never_sent() -> None:
    """And the next call goes to a new connection."""
    seen: list[int] = []

    def act(peer: Peer, stream: int) -> None:
        seen.append(stream)
        if len(seen) == 2:
            peer.h2.send_goaway(0, last_stream_id=1)
            answer(peer, 1)
        elif len(seen) > 2:
            answer(peer, stream)

    async with answering(on_request(act)) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        covered = asyncio.ensure_future(channel.unary("/t.T/x", b"1"))
        above = asyncio.ensure_future(channel.unary("/t.T/x", b"2"))
        assert (await covered).payload == b"ok"
        error = await failing(lambda: above)
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        assert error.message == "the peer goes away: NO_ERROR, before this call"
        assert channel.ready()
        assert (await channel.unary("/t.T/x", b"3")).payload == b"ok"
        assert len(peers) == 2
        await peers[0].gone()
        await channel.close()


async def test_calls_over_the_peers_limit_of_streams_wait_for_their_turn() -> None:
    """SETTINGS_MAX_CONCURRENT_STREAMS is a queue and no error."""
    open_now: set[int] = set()
    most = 0

    def act(peer: Peer, event: Any) -> None:
        nonlocal most
        if isinstance(event, ngh2.RequestReceived):
            open_now.add(event.stream_id)
            most = max(most, len(open_now))
        elif isinstance(event, ngh2.DataReceived) and event.end_stream:
            asyncio.get_running_loop().call_soon(finish, peer, event.stream_id)

    def finish(peer: Peer, stream: int) -> None:
        open_now.discard(stream)
        answer(peer, stream)
        peer.flush()

    async with answering(act) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        peers[0].h2.update_settings({3: 3})
        peers[0].flush()
        await peers[0].wait(ngh2.SettingsAcknowledged, 2)
        replies = await asyncio.gather(*(channel.unary("/t.T/x", b"", timeout=10) for _ in range(50)))
        assert len(replies) == 50
        assert most <= 3
        await channel.close()


@pytest.mark.parametrize("limit", [0, 1])
async def test_a_peer_that_takes_more_streams_than_before_gets_the_calls_that_wait(limit: int) -> None:
    """At once, and not when the next call ends: there may be none."""

    class Narrow(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """It takes so many."""
            self.transport = transport
            self.h2.initiate_connection({3: limit})
            self.flush()

    def act(peer: Peer, stream: int) -> None:
        if stream > 2 * limit:
            answer(peer, stream)

    async with answering(on_request(act), Narrow) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        running = [channel.unary("/t.T/x", b"", timeout=30) for _ in range(limit)]
        waiting = channel.unary("/t.T/x", b"", timeout=5)
        peers[0].h2.update_settings({3: 100})
        peers[0].flush()
        assert (await waiting).payload == b"ok"
        for call in running:
            call.cancel()
        await channel.close()


async def test_a_connection_that_ends_does_not_wait_for_ever_for_a_peer_that_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its socket is cut off, whatever is still in it."""
    lost = asyncio.Event()
    real = Connection.connection_lost

    def connection_lost(connection: Connection, error: Exception | None) -> None:
        real(connection, error)
        lost.set()

    class Wide(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """With a window that holds up nobody."""
            self.transport = transport
            self.h2.initiate_connection({4: 2**31 - 1})
            self.h2.set_local_window_size(2**31 - 1)
            self.flush()

    def act(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            peer.transport.pause_reading()

    monkeypatch.setattr(Connection, "connection_lost", connection_lost)
    monkeypatch.setattr("fanmesh.transport.fast.connection.PARTING", 0.05)
    async with answering(act, Wide) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        upload = channel.unary("/t.T/x", b"x" * 15_000_000, timeout=30)
        await peers[0].wait(ngh2.RequestReceived)
        links: Any = channel._links
        transport = links.connection.transport
        await channel.close()
        assert transport.get_write_buffer_size()
        await soon(lost)
        assert (await failing(lambda: upload)).sent


async def test_a_peer_that_falls_silent_is_left() -> None:
    """A ping that nobody answers ends the connection, and its calls were sent: a half-open peer."""
    async with answering(lambda _peer, _event: None) as (address, peers):
        channel = FAST.connect(address, ChannelOptions(keepalive_every=0.05, keepalive_timeout=0.05))
        assert await channel.wait_ready(5)
        call = asyncio.ensure_future(channel.unary("/t.T/x", b"", timeout=10))
        await peers[0].wait(ngh2.RequestReceived)
        peers[0].deaf = True
        error = await failing(lambda: call)
        assert (error.code, error.sent) == (Code.UNAVAILABLE, True)
        await channel.close()


async def test_a_peer_that_answers_pings_is_not_left() -> None:
    """However long a call takes; and without a call nobody is asked."""

    def act(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.PingReceived) and len(peer.of(ngh2.PingReceived)) == 2:
            answer(peer, 1)

    async with answering(act) as (address, peers):
        channel = FAST.connect(address, ChannelOptions(keepalive_every=0.03, keepalive_timeout=5))
        assert (await channel.unary("/t.T/x", b"", timeout=10)).payload == b"ok"
        await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.1)
        assert len(peers[0].of(ngh2.PingReceived)) == 2
        await channel.close()


async def test_a_peer_that_stays_quiet_is_asked_twice_and_then_rarely() -> None:
    """Servers hang up on who asks more often; once they have sent something, they may be asked twice again."""

    def act(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            asyncio.get_running_loop().call_later(0.4, first, peer)

    def first(peer: Peer) -> None:
        asked.append(len(peer.of(ngh2.PingReceived)))
        peer.h2.send_response(1, HEAD)
        peer.h2.send_data(1, message(b"ok"))
        peer.flush()
        asyncio.get_running_loop().call_later(0.4, last, peer)

    def last(peer: Peer) -> None:
        asked.append(len(peer.of(ngh2.PingReceived)) - asked[0])
        peer.h2.send_trailers(1, [(b"grpc-status", b"0")])
        peer.flush()

    asked: list[int] = []
    async with answering(act) as (address, _):
        channel = FAST.connect(address, ChannelOptions(keepalive_every=0.02, keepalive_timeout=5))
        stream = channel.stream("/t.T/x", b"", timeout=10)
        assert [part async for part in stream] == [b"ok"]
        assert max(asked) <= 2  # of twenty that there would be time for
        await channel.close()


async def test_a_mass_cancellation_resets_no_more_streams_than_the_ration() -> None:
    """The rest finishes unread, or is reset later; the connection stays whole, and its window open."""
    count = 600

    async with answering(lambda _peer, _event: None) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        calls = [asyncio.ensure_future(channel.unary("/t.T/x", b"", timeout=30)) for _ in range(count)]
        await peers[0].wait(ngh2.RequestReceived, count)
        for call in calls:
            call.cancel()
        assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True))
        assert not channel.live
        await peers[0].wait(ngh2.StreamReset, 100)
        reset = {event.stream_id for event in peers[0].of(ngh2.StreamReset)}
        assert len(reset) < 200
        for stream in {event.stream_id for event in peers[0].of(ngh2.RequestReceived)} - reset:
            answer(peers[0], stream, b"x" * 100_000)
        peers[0].flush()
        await peers[0].wait(ngh2.StreamClosed, count)
        assert len(peers[0].of(ngh2.StreamReset)) < 300
        last = asyncio.ensure_future(channel.unary("/t.T/x", b"", timeout=5))
        answer(peers[0], (await peers[0].wait(ngh2.RequestReceived, count + 1)).stream_id)
        peers[0].flush()
        assert (await last).payload == b"ok"
        await channel.close()


async def test_a_rebuke_halves_the_ration_of_the_next_connection() -> None:
    """ENHANCE_YOUR_CALM is heard, not only survived."""

    def act(peer: Peer, stream: int) -> None:
        if stream == 1 and len(peer.of(ngh2.RequestReceived)) == 1:
            answer(peer, stream)

    async with answering(on_request(act)) as (address, peers):
        channel = FAST.connect(address)
        await channel.unary("/t.T/x", b"")
        burst = channel._links.resets.buckets[0].burst  # type: ignore[attr-defined]  # the one link
        peers[0].h2.send_goaway(ngh2.ErrorCode.ENHANCE_YOUR_CALM)
        peers[0].flush()
        await peers[0].gone()
        assert channel._links.resets.buckets[0].burst == burst / 2  # type: ignore[attr-defined]
        assert (await channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
        await channel.close()


async def test_a_connection_whose_window_leaks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine forgets the half of a DATA frame whose stream is reset in the middle; see docs/transport.md."""
    async with answering(lambda _peer, _event: None) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        peer = peers[0]
        [first] = channel._links.connections  # type: ignore[attr-defined]
        monkeypatch.setattr("fanmesh.transport.fast.connection.CONNECTION_LEAST", first.h2.local_window_size - 50_000)
        for n in range(1, 50):
            call = asyncio.ensure_future(channel.unary("/t.T/x", b"", timeout=30))
            stream = (await peer.wait(ngh2.DataReceived, n)).stream_id
            peer.h2.send_response(stream, HEAD)
            peer.h2.send_data(stream, message(b"x" * 16_000))
            data = peer.h2.data_to_send()
            peer.transport.write(data[:8_000])
            await asyncio.wait((call,), timeout=0.01)
            call.cancel()
            await asyncio.wait((call,))
            peer.transport.write(data[8_000:])
            if first.closed:
                break
        assert first.closed
        assert await channel.wait_ready(5)
        assert len(peers) == 2
        await channel.close()


async def test_a_peer_that_speaks_no_http2_is_a_connection_that_was_not_made() -> None:
    """So nothing was sent, and the next attempt waits."""

    class Ssh(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    server = await asyncio.get_running_loop().create_server(Ssh, "127.0.0.1", 0)
    channel = FAST.connect(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    error = await failing(lambda: channel.unary("/t.T/x", b"", timeout=5))
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    assert not channel.ready()
    await channel.close()
    server.close()


async def test_a_lost_server_that_comes_back_is_found_again() -> None:
    """Calls fail at once while it is away; attempts go on behind them."""
    loop = asyncio.get_running_loop()

    def act(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived) and event.end_stream:
            answer(peer, event.stream_id)

    made: list[Peer] = []

    def accept() -> Peer:
        made.append(peer := Peer(ngh2.Role.SERVER, act))
        return peer

    server = await loop.create_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = FAST.connect(f"127.0.0.1:{port}", ChannelOptions(reconnect_initial=0.01, reconnect_max=0.02))
    await channel.unary("/t.T/x", b"", timeout=5)
    server.close()
    made[0].transport.abort()
    while (await failing(lambda: channel.unary("/t.T/x", b"", timeout=5))).sent:
        pass
    assert not channel.ready()
    server = await loop.create_server(accept, "127.0.0.1", port)
    assert await channel.wait_ready(5)
    assert channel.ready()
    assert (await channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
    await channel.close()
    server.close()
    for peer in made:
        peer.transport.abort()


class Leaving(Peer):
    """Says hello and goodbye in one breath, as a server does that is stopped while somebody connects."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """SETTINGS and GOAWAY in one write."""
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.send_goaway(0, debug_data=b"stopping")
        self.flush()


async def test_a_server_that_goes_away_while_it_greets_was_not_connected_to() -> None:
    """Calls that waited for it fail as never sent, one after the other, and others behind them find the next server."""
    async with answering(on_request(answer), Leaving, Leaving) as (address, peers):
        channel = FAST.connect(address, ChannelOptions(reconnect_initial=0.01, reconnect_max=0.02))
        waiting = [channel.unary("/t.T/x", b"?", timeout=5) for _ in range(3)]
        errors = [await failing(lambda call=call: call) for call in waiting]
        assert {(error.code, error.sent) for error in errors} == {(Code.UNAVAILABLE, False)}
        assert "cannot connect" in errors[0].message
        assert await channel.wait_ready(5)
        assert (await channel.unary("/t.T/x", b"?", timeout=5)).payload == b"ok"
        assert len(peers) == 3
        assert not channel.live
        await channel.close()


async def test_a_connection_that_is_found_to_be_over_when_a_call_begins_is_not_tried_again() -> None:
    """The call goes to another one, once: it does not ask the same connection for ever."""
    async with answering(on_request(answer)) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        link: Any = channel._links
        link.connection.h2.terminate_connection(0)  # and nobody has been told yet
        assert (await channel.unary("/t.T/x", b"?", timeout=5)).payload == b"ok"
        assert len(peers) == 2
        await channel.close()
