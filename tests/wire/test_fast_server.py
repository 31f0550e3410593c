"""The fast transport as a server, for callers that do what no gRPC client does on demand, or that mean harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport, server_connection
from fanmesh.transport.port import ChannelOptions, Routes, RpcError, ServerCall, ServerOptions, StatusError
from tests.kit.h2_peer import Peer, calling, message, request
from tests.kit.peers import Worker, failing, soon

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


@asynccontextmanager
async def serving(routes: Routes | None = None, options: ServerOptions | None = None) -> AsyncIterator[tuple[Any, Worker]]:
    """A server with these routes, or a Worker's."""
    worker = Worker()
    server = FAST.server("127.0.0.1:0", routes or worker.routes(), options=options or ServerOptions())
    await server.start()
    try:
        yield server, worker
    finally:
        await server.stop()
        assert server._running.count == 0


def ask(peer: Peer, path: bytes = b"/t.T/echo", payload: bytes = b"?", *more: tuple[bytes, bytes]) -> int:
    """Begin a unary call."""
    stream = peer.h2.send_request(request(path, *more))
    peer.h2.send_data(stream, message(payload), end_stream=True)
    peer.flush()
    return stream


async def status_of(peer: Peer, count: int = 1) -> dict[bytes, bytes]:
    """The trailers of the answer that ends as the `count`th, alone or behind messages."""
    await peer.wait(ngh2.StreamClosed, count)
    ends: list[Any] = [e for e in peer.events if isinstance(e, ngh2.TrailersReceived | ngh2.ResponseReceived)]
    return dict(next(e.headers for e in reversed(ends) if any(name == b"grpc-status" for name, _ in e.headers)))


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
        peer = await calling(server.port)
        peer.h2.update_settings({4: 10})
        peer.flush()
        await peer.wait(ngh2.SettingsAcknowledged, 2)
        ask(peer, b"/t.T/echo", b"x" * 100_000)
        assert (await peer.wait(ngh2.StreamReset)).error_code == ngh2.ErrorCode.CANCEL
        await soon(worker.done)


async def test_what_is_no_grpc_call_is_answered_in_http() -> None:
    """415 for another content type, 405 for another method; no handler sees it."""
    async with serving() as (server, _):
        peer = await calling(server.port)
        fields = dict(request())
        for wrong in ({b"content-type": b"text/plain"}, {b":method": b"GET"}):
            peer.h2.send_request([*{**fields, **wrong}.items()], end_stream=True)
            peer.flush()
        await peer.wait(ngh2.StreamClosed, 2)
        assert [dict(event.headers)[b":status"] for event in peer.of(ngh2.ResponseReceived)] == [b"415", b"405"]


@pytest.mark.parametrize(
    ("path", "payload", "more", "code"),
    [
        (b"/t.T/echo", message(b"a"), (b"grpc-timeout", b"soon"), Code.INTERNAL),
        (b"/t.T/echo", message(b"a"), (b"grpc-encoding", b"snappy"), Code.UNIMPLEMENTED),
        (b"/t.T/echo", b"\1\0\0\0\1x", (b"a", b"b"), Code.INTERNAL),
        (b"/t.T/echo", b"\7\0\0\0\1x", (b"a", b"b"), Code.INTERNAL),
        (b"/t.T/echo", b"\0\0\0\0\x09x", (b"a", b"b"), Code.INTERNAL),
        (b"/t.T/echo", message(b"a") * 2, (b"a", b"b"), Code.INTERNAL),
        (b"/t.T/echo", b"", (b"a", b"b"), Code.INTERNAL),
        (b"/t.T/chat", b"\7\0\0\0\1x", (b"a", b"b"), Code.INTERNAL),
        (b"/t.T/chat", b"\0\0\0\0\x09x", (b"a", b"b"), Code.INTERNAL),
    ],
)
async def test_a_call_that_breaks_grpcs_own_rules_gets_a_status(
    path: bytes, payload: bytes, more: tuple[bytes, bytes], code: Code
) -> None:
    """And the connection lives on."""
    async with serving() as (server, _):
        peer = await calling(server.port)
        stream = peer.h2.send_request(request(path, more))
        peer.h2.send_data(stream, payload, end_stream=True)
        peer.flush()
        assert int((await status_of(peer))[b"grpc-status"]) == code
        ask(peer)
        assert (await status_of(peer, 2))[b"grpc-status"] == b"0"


async def test_trailers_are_no_larger_than_the_caller_takes() -> None:
    """It would end the connection; the status still arrives."""

    async def much(_: bytes, call: ServerCall) -> bytes:
        call.set_trailers((("k", "v" * 2000),))
        return b""

    async def more(_: bytes, __: ServerCall) -> bytes:
        raise StatusError(Code.ABORTED, "no", trailers=(("k", "v" * 2000),))

    async with serving(Routes(unary={"/t.T/much": much, "/t.T/more": more})) as (server, _):
        peer = await calling(server.port)
        peer.h2.update_settings({6: 1000})
        peer.flush()
        await peer.wait(ngh2.SettingsAcknowledged, 2)
        ask(peer, b"/t.T/much")
        assert int((await status_of(peer))[b"grpc-status"]) == Code.RESOURCE_EXHAUSTED
        ask(peer, b"/t.T/more")
        found = await status_of(peer, 2)
        assert (int(found[b"grpc-status"]), found.get(b"k")) == (Code.ABORTED, None)


async def test_trailers_that_cannot_be_sent_do_not_hide_the_status() -> None:
    """A handler's mistake: INTERNAL in the place of OK, and another status without them. Callbacks are kept from each other."""
    done = asyncio.Event()

    async def good(_: bytes, call: ServerCall) -> bytes:
        call.on_done(lambda: {}["missing"])
        call.on_done(done.set)
        call.set_trailers((("Upper", "x"),))
        return b""

    async def bad(_: bytes, __: ServerCall) -> bytes:
        raise StatusError(Code.ABORTED, "no", trailers=(("a", "x\ny"),))

    async with serving(Routes(unary={"/t.T/good": good, "/t.T/bad": bad})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        assert (await failing(lambda: channel.unary("/t.T/good", b""))).code is Code.INTERNAL
        await soon(done)
        assert (await failing(lambda: channel.unary("/t.T/bad", b""))).code is Code.ABORTED
        await channel.close()


async def test_a_handler_knows_its_caller_and_what_it_sent() -> None:
    """Text and bytes; a header that is none is empty, and one in bytes is no text."""
    seen: list[Any] = []

    async def look(_: bytes, call: ServerCall) -> bytes:
        seen.extend((call.peer, call.metadata, call.header("a"), call.header("b-bin"), call.header("c"), call.time_remaining()))
        return b""

    async with serving(Routes(unary={"/t.T/look": look})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        await channel.unary("/t.T/look", b"", metadata=(("a", "1"), ("a", "2"), ("b-bin", b"\xff")))
        await channel.close()
    assert seen[0].startswith("ipv4:127.0.0.1:")
    assert [pair for pair in seen[1] if pair[0] in ("a", "b-bin")] == [("a", "1"), ("a", "2"), ("b-bin", b"\xff")]
    assert seen[2:] == ["1", "", "", None]


async def test_the_deadline_ends_a_call_whose_caller_forgets_to() -> None:
    """The handler is cancelled, and a status sent."""
    async with serving() as (server, worker):
        peer = await calling(server.port)
        ask(peer, b"/t.T/hang", b"", (b"grpc-timeout", b"20m"))
        assert int((await status_of(peer))[b"grpc-status"]) == Code.DEADLINE_EXCEEDED
        await soon(worker.cancelled)


async def test_a_caller_that_does_not_read_stops_the_handler() -> None:
    """`write` waits once the window is shut: what is on its way is bounded, not all that there is."""
    made = 0

    async def pour(_: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        nonlocal made
        for _n in range(1000):
            made += 1
            yield b"x" * 10_000

    async with serving(Routes(stream={"/t.T/pour": pour})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        stream = channel.stream("/t.T/pour", b"")
        await anext(stream)
        await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.2)  # nothing ends this
        stopped = made
        assert stopped < 100
        assert [len(part) async for part in stream] == [10_000] * 999
        await stream.aclose()
        await channel.close()


async def test_a_handler_that_does_not_read_stops_its_caller_and_nobody_else() -> None:
    """Its stream's window stays shut, and other calls on the connection go on."""
    gate = asyncio.Event()
    worker = Worker()

    async def late(requests: AsyncIterator[bytes], call: ServerCall) -> None:
        await gate.wait()
        count = 0
        async for one in requests:
            count += len(one)
        await call.write(b"%d" % count)

    routes = worker.routes()
    async with serving(Routes(unary=routes.unary, duplex={"/t.T/late": late})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        calls = [channel.duplex("/t.T/late") for _ in range(20)]
        sent = [0] * len(calls)

        async def pour(n: int) -> None:
            for _ in range(500):
                await calls[n].write(b"x" * 10_000)
                sent[n] += 1
            await calls[n].half_close()

        pouring = [asyncio.ensure_future(pour(n)) for n in range(len(calls))]
        await asyncio.wait(pouring, timeout=0.3)
        assert all(0 < count < 100 for count in sent)
        big = b"y" * 4_000_000
        assert (await channel.unary("/t.T/echo", big, timeout=10)).payload == big
        gate.set()
        await asyncio.gather(*pouring)
        for call in calls:
            assert await call.read() == b"%d" % 5_000_000
            assert await call.read() is None
            await call.aclose()
        await channel.close()


async def test_an_early_answer_stops_the_upload() -> None:
    """The caller is asked to stop (RST_STREAM NO_ERROR) after it has the status, and has it as the answer."""
    async with serving(options=ServerOptions(receive_limit=1000)) as (server, _):
        peer = await calling(server.port)
        stream = peer.h2.send_request(request())
        peer.h2.send_data(stream, message(b"x" * 2000))
        peer.flush()
        assert (await peer.wait(ngh2.StreamReset)).error_code == ngh2.ErrorCode.NO_ERROR
        assert int((await status_of(peer))[b"grpc-status"]) == Code.RESOURCE_EXHAUSTED


async def test_an_old_connection_is_closed_in_good_order() -> None:
    """First a notice, so that no call is lost; then GOAWAY; the call that runs is answered; the next one goes elsewhere."""
    gate = asyncio.Event()
    worker = Worker()

    async def wait(_: bytes, __: ServerCall) -> bytes:
        worker.arrived.set()
        await gate.wait()
        return b"done"

    routes = Routes(unary={"/t.T/wait": wait, "/t.T/echo": worker.echo})
    async with serving(routes, ServerOptions(connection_age=0.1)) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        running = asyncio.ensure_future(channel.unary("/t.T/wait", b""))
        await soon(worker.arrived)
        [old] = server._connections
        while not old._drained:
            assert (await channel.unary("/t.T/echo", b"1")).payload == b"1"
        assert (await channel.unary("/t.T/echo", b"2")).payload == b"2"
        gate.set()
        assert (await running).payload == b"done"
        await channel.close()
    peer = Peer(ngh2.Role.CLIENT)
    async with serving(routes, ServerOptions(connection_age=0.05)) as (server, _):
        peer = await calling(server.port)
        await peer.gone()
        assert [event.last_stream_id for event in peer.of(ngh2.GoAwayReceived)] == [2**31 - 1]


async def test_hundreds_of_calls_survive_that_connections_grow_old() -> None:
    """Draining loses none, whenever it comes."""
    async with serving(options=ServerOptions(connection_age=0.03)) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        seen = set()
        for n in range(60):
            replies = await asyncio.gather(*(channel.unary("/t.T/echo", b"%d" % n, timeout=10) for _ in range(20)))
            assert {reply.payload for reply in replies} == {b"%d" % n}
            seen |= set(server._connections)
            await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.002)
        assert len(seen) > 1
        await channel.close()


async def test_a_unix_socket_serves_and_is_cleaned_up(tmp_path: Path) -> None:
    """One that a dead server has left is replaced, one in use is an OSError, and after the stop it is gone."""
    worker = Worker()
    path = tmp_path / "s"
    listen = f"unix:{path}"
    server = FAST.server(listen, worker.routes())
    await server.start()
    with pytest.raises(OSError, match=str(path)):
        FAST.server(listen, worker.routes())
    channel = FAST.connect(listen)
    assert (await channel.unary("/t.T/echo", b"x", timeout=5)).payload == b"x"
    await channel.close()
    await server.stop()
    assert not path.exists()
    left = FAST.server(listen, worker.routes())
    for socket in left._sockets:
        socket.close()
    again = FAST.server(listen, worker.routes())
    await again.start()
    await again.stop()


async def test_several_servers_share_a_port() -> None:
    """With reuse_port; without it the second one is an OSError."""
    worker = Worker()
    options = ServerOptions(reuse_port=True)
    first = FAST.server("127.0.0.1:0", worker.routes(), options=options)
    second = FAST.server(f"127.0.0.1:{first.port}", worker.routes(), options=options)
    assert first.port == second.port
    for server in (first, second):
        await server.start()
        await server.stop()


async def test_calls_go_to_all_addresses_of_a_name_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`spread`: each address gets as much as the others; a lost one gets nothing, and one that joins is found."""
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def resolve(_: str, port: int, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    real = asyncio.get_running_loop().getaddrinfo

    async def getaddrinfo(host: str, port: int, **more: Any) -> Any:
        return await (resolve(host, port) if host == "many.test" else real(host, port, **more))

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    def named(name: str) -> Routes:
        async def who(_: bytes, __: ServerCall) -> bytes:
            return name.encode()

        return Routes(unary={"/t.T/who": who})

    first = FAST.server("127.0.0.1:0", named("1"))
    second, third = (FAST.server(f"127.0.0.{n}:{first.port}", named(str(n))) for n in (2, 3))
    for server in (first, second, third):
        await server.start()
    channel = FAST.connect(f"dns:///many.test:{first.port}", ChannelOptions(spread=True, reconnect_max=0.05))
    assert channel.ready()
    assert await channel.wait_ready(5)

    async def until(*names: str) -> None:
        """Until these answer, and in turn."""
        async with asyncio.timeout(5):
            while True:
                found = [await outcome(channel) for _ in range(2 * len(names))]
                if sorted(map(str, found)) == sorted(2 * names):
                    return

    await until("1", "2")
    addresses[:] = ["127.0.0.1", "127.0.0.3"]
    await second.stop()
    await until("1", "3")
    await third.stop()
    await until("1")
    await first.stop()
    async with asyncio.timeout(5):
        while not (await outcome(channel)).startswith("UNAVAILABLE: cannot connect"):
            pass
    assert not channel.ready()
    error = await failing(lambda: channel.unary("/t.T/who", b"", timeout=5))
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    await channel.close()


async def outcome(channel: Any) -> str:
    """Who answers a call, or how it fails."""
    try:
        return str((await channel.unary("/t.T/who", b"", timeout=5)).payload.decode())
    except RpcError as error:
        return str(error)


async def test_a_name_that_means_nothing_is_unavailable() -> None:
    """Spread or not: never sent."""
    for spread in (False, True):
        channel = FAST.connect("dns:///nobody.invalid:1", ChannelOptions(spread=spread))
        error = await failing(lambda: channel.unary("/t.T/x", b"", timeout=10))  # noqa: B023
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        await channel.close()
