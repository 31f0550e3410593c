"""The fast transport as a server, for callers that do what no gRPC client does on demand."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.fast.defences import MAX_FIELDS, MAX_HEADERS
from fanmesh.transport.fast.headers import BadMetadata
from fanmesh.transport.port import Metadata, Routes, ServerCall, ServerOptions, StatusError
from tests.kit.fast_served import ask, serving, status_of
from tests.kit.h2_peer import Peer, calling, message, request
from tests.kit.peers import Worker, failing, soon

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


async def test_what_is_no_grpc_call_is_answered_in_http() -> None:
    """415 for another content type, also one that only begins like gRPC's, 405 for another method; no handler sees it."""
    async with serving() as (server, _):
        peer = await calling(server.port)
        fields = dict(request())
        wrongs = [{b"content-type": kind} for kind in (b"text/plain", b"application/grpc-web", b"application/grpcfoo")]
        for wrong in (*wrongs, {b":method": b"GET"}):
            peer.h2.send_request([*{**fields, **wrong}.items()], end_stream=True)
            peer.flush()
        await peer.wait(ngh2.StreamClosed, 4)
        assert [dict(event.headers)[b":status"] for event in peer.of(ngh2.ResponseReceived)] == [b"415"] * 3 + [b"405"]
        ask(peer, b"/t.T/echo", b"x", (b"content-type", b"application/grpc+proto"))


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


async def taking(port: int, size: int) -> Peer:
    """A caller that takes header lists of so many bytes, and whose server knows that."""
    peer = await calling(port)
    peer.h2.update_settings({int(ngh2.Setting.MAX_HEADER_LIST_SIZE): size})
    peer.flush()
    await peer.wait(ngh2.SettingsAcknowledged, 2)
    return peer


async def test_trailers_are_no_larger_than_the_caller_takes() -> None:
    """It would end the connection; the status still arrives."""

    async def much(_: bytes, call: ServerCall) -> bytes:
        call.set_trailers((("k", "v" * 2000),))
        return b""

    async def more(_: bytes, __: ServerCall) -> bytes:
        raise StatusError(Code.ABORTED, "no", trailers=(("k", "v" * 2000),))

    async with serving(Routes(unary={"/t.T/much": much, "/t.T/more": more})) as (server, _):
        peer = await taking(server.port, 1000)
        ask(peer, b"/t.T/much")
        assert int((await status_of(peer))[b"grpc-status"]) == Code.RESOURCE_EXHAUSTED
        ask(peer, b"/t.T/more")
        found = await status_of(peer, 2)
        assert (int(found[b"grpc-status"]), found.get(b"k")) == (Code.ABORTED, None)


FIELDS = tuple((f"k{n}", "v") for n in range(MAX_FIELDS))
"""Too many together with those of gRPC's own."""


@pytest.mark.parametrize("metadata", [FIELDS, (("k", "v" * MAX_HEADERS),)], ids=["many", "large"])
async def test_initial_metadata_that_the_caller_does_not_take_is_the_handlers_affair(metadata: Metadata) -> None:
    """BadMetadata, after which it may go on; it would end the connection, and with it the calls of others."""

    async def tell(_: bytes, call: ServerCall) -> bytes:
        try:
            await call.send_headers(metadata)
        except BadMetadata as e:
            return str(e).encode()
        return b""

    async def fall(_: bytes, call: ServerCall) -> bytes:
        await call.send_headers(metadata)
        return b""

    worker = Worker()
    routes = Routes(unary={"/t.T/tell": tell, "/t.T/fall": fall, "/t.T/hang": worker.hang})
    async with serving(routes) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        other = asyncio.ensure_future(channel.unary("/t.T/hang", b""))
        await soon(worker.arrived)
        assert b"that the caller takes" in (await channel.unary("/t.T/tell", b"", timeout=5)).payload
        assert (await failing(lambda: channel.unary("/t.T/fall", b"", timeout=5))).code is Code.INTERNAL
        assert not other.done()
        other.cancel()
        await channel.close()


async def test_trailers_are_no_more_fields_than_a_caller_takes() -> None:
    """They would end its connection: RESOURCE_EXHAUSTED in the place of OK, and another status without them."""

    async def many(_: bytes, call: ServerCall) -> bytes:
        call.set_trailers(FIELDS)
        return b""

    async def more(_: bytes, __: ServerCall) -> bytes:
        raise StatusError(Code.ABORTED, "no", trailers=FIELDS)

    async with serving(Routes(unary={"/t.T/many": many, "/t.T/more": more})) as (server, _):
        channel = FAST.connect(f"127.0.0.1:{server.port}")
        assert (await failing(lambda: channel.unary("/t.T/many", b"", timeout=5))).code is Code.RESOURCE_EXHAUSTED
        error = await failing(lambda: channel.unary("/t.T/more", b"", timeout=5))
        assert (error.code, error.message, error.trailers) == (Code.ABORTED, "no", ())
        await channel.close()


async def test_a_message_that_the_caller_does_not_take_does_not_hide_the_status() -> None:
    """It stays behind."""

    async def talk(_: bytes, __: ServerCall) -> bytes:
        raise StatusError(Code.ABORTED, "no " * 300)

    async with serving(Routes(unary={"/t.T/talk": talk})) as (server, _):
        peer = await taking(server.port, 500)
        ask(peer, b"/t.T/talk")
        assert int((await status_of(peer))[b"grpc-status"]) == Code.ABORTED


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


@pytest.mark.parametrize("window", [65_535, 0])
async def test_an_early_answer_stops_the_upload(window: int) -> None:
    """The caller is asked to stop (RST_STREAM NO_ERROR) after it has the status, and has it as the answer, window or not."""
    async with serving(options=ServerOptions(receive_limit=1000)) as (server, _):
        peer = await calling(server.port)
        peer.h2.update_settings({4: window})
        peer.flush()
        await peer.wait(ngh2.SettingsAcknowledged, 2)
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
    for one in left._sockets:
        one.close()
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


async def test_hundreds_may_connect_at_once(tmp_path: Path) -> None:
    """More than asyncio's own 100 wait to be accepted while the loop is busy; a unix socket says at once if not."""
    server = FAST.server(f"unix:{tmp_path / 's'}", Worker().routes())
    await server.start()
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(120)]
    told = []
    for one in waiting:
        one.setblocking(False)
        told.append(one.connect_ex(str(tmp_path / "s")))
        one.close()
    assert not any(told)
    await server.stop()
