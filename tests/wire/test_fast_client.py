"""The fast transport as a client: what comes of answers that gRPC's own servers never give on demand."""

import asyncio
import gzip
from collections.abc import Callable

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import ChannelOptions, RpcError
from tests.kit.h2_peer import HEAD, Peer, answer, answering, message, on_request
from tests.kit.peers import failing

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


async def outcome(act: Callable[[Peer, int], None], timeout: float | None = 5) -> RpcError:  # noqa: ASYNC109
    """How a unary call to such a server fails."""
    async with answering(on_request(act)) as (address, _):
        channel = FAST.connect(address)
        error = await failing(lambda: channel.unary("/t.T/x", b"?", timeout=timeout))
        assert not channel.live
        await channel.close()
        return error


@pytest.mark.parametrize(
    ("reset", "code", "sent"),
    [
        (ngh2.ErrorCode.NO_ERROR, Code.INTERNAL, True),
        (ngh2.ErrorCode.PROTOCOL_ERROR, Code.INTERNAL, True),
        (ngh2.ErrorCode.INTERNAL_ERROR, Code.INTERNAL, True),
        (ngh2.ErrorCode.REFUSED_STREAM, Code.UNAVAILABLE, False),
        (ngh2.ErrorCode.CANCEL, Code.CANCELLED, True),
        (ngh2.ErrorCode.ENHANCE_YOUR_CALM, Code.RESOURCE_EXHAUSTED, True),
        (ngh2.ErrorCode.INADEQUATE_SECURITY, Code.PERMISSION_DENIED, True),
    ],
)
async def test_a_reset_is_the_status_that_grpc_says_and_only_a_refusal_was_never_seen(
    reset: ngh2.ErrorCode,
    code: Code,
    sent: bool,  # noqa: FBT001
) -> None:
    """REFUSED_STREAM promises that nobody has looked at the request; nothing else does."""
    error = await outcome(lambda peer, stream: peer.h2.reset_stream(stream, reset))
    assert (error.code, error.sent, error.local_deadline) == (code, sent, False)


async def test_a_refusal_after_the_beginning_of_an_answer_is_none() -> None:
    """Somebody has looked at the request: it may have had its effect."""

    def act(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, HEAD)
        peer.h2.send_data(stream, message(b"half"))
        peer.flush()
        peer.h2.reset_stream(stream, ngh2.ErrorCode.REFUSED_STREAM)

    error = await outcome(act)
    assert (error.code, error.sent) == (Code.UNAVAILABLE, True)


async def test_who_ended_a_stream_is_told_apart() -> None:
    """The peer that reset it, or our engine, for what HTTP/2 forbids: here a field that begins with a space."""
    reset = await outcome(lambda peer, stream: peer.h2.reset_stream(stream, ngh2.ErrorCode.PROTOCOL_ERROR))

    def forbidden(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, [*HEAD, (b"grpc-status", b"9"), (b"grpc-message", b" no")], end_stream=True)

    broken = await outcome(forbidden)
    assert (reset.code, reset.message) == (Code.INTERNAL, "the peer ended the stream: PROTOCOL_ERROR")
    assert (broken.code, broken.message) == (Code.INTERNAL, "the peer sent what HTTP/2 forbids: PROTOCOL_ERROR")
    assert (reset.sent, broken.sent) == (True, True)


@pytest.mark.parametrize(
    ("status", "code"),
    [(b"400", Code.INTERNAL), (b"401", Code.UNAUTHENTICATED), (b"404", Code.UNIMPLEMENTED), (b"503", Code.UNAVAILABLE)],
)
async def test_an_http_error_of_a_proxy_is_a_grpc_status(status: bytes, code: Code) -> None:
    """And the call does not wait for trailers that no proxy sends."""

    def act(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, [(b":status", status), (b"content-type", b"text/html")])
        peer.h2.send_data(stream, b"<html>")

    error = await outcome(act)
    assert (error.code, error.sent) == (code, True)


@pytest.mark.parametrize("kind", [b"text/html", b"application/grpc-web", b"application/grpcfoo"])
async def test_an_answer_that_is_not_grpc_is_unknown(kind: bytes) -> None:
    """Somebody listens there, but not who is meant."""

    def act(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, [(b":status", b"200"), (b"content-type", kind)])
        peer.h2.send_data(stream, message(b"a"))
        peer.h2.send_trailers(stream, [(b"grpc-status", b"0")])

    error = await outcome(act)
    assert error.code is Code.UNKNOWN


async def test_a_stream_that_ends_without_trailers_ends_its_call_though_we_were_not_done() -> None:
    """With a duplex that may still write, and with a request that waits for the window: nobody waits for more."""

    class Shut(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """With a window that a request does not fit in."""
            self.transport = transport
            self.h2.initiate_connection({4: 10})
            self.flush()

    def act(peer: Peer, event: object) -> None:
        if isinstance(event, ngh2.RequestReceived):
            peer.h2.send_response(event.stream_id, HEAD)
            peer.h2.send_data(event.stream_id, message(b"a"), end_stream=True)

    async with answering(act, Shut) as (address, peers):
        channel = FAST.connect(address)
        call = channel.duplex("/t.T/chat")
        assert await asyncio.wait_for(call.read(), 5) == b"a"
        error = await asyncio.wait_for(failing(call.read), 5)
        assert (error.code, error.sent) == (Code.INTERNAL, True)
        assert (await failing(lambda: call.write(b"more"))).code is Code.INTERNAL
        error = await asyncio.wait_for(failing(lambda: channel.unary("/t.T/x", b"x" * 1000)), 5)
        assert (error.code, error.sent) == (Code.INTERNAL, True)
        await peers[0].wait(ngh2.StreamClosed, 2)  # and our halves are over as well
        assert not channel.live
        await channel.close()


async def test_trailers_without_a_status_are_unknown() -> None:
    """Nobody has said OK."""

    def act(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, HEAD)
        peer.h2.send_data(stream, message(b"a"))
        peer.h2.send_trailers(stream, [] if stream == 1 else [(b"k", b"v")])

    async with answering(on_request(act)) as (address, _):
        channel = FAST.connect(address)
        for _n in range(2):
            assert (await failing(lambda: channel.unary("/t.T/x", b""))).code in (Code.UNKNOWN, Code.INTERNAL)
        await channel.close()


async def test_trailers_only_with_a_status_count_whatever_http_says() -> None:
    """A gRPC status is the peer's own word; the message is percent-decoded."""
    fields = [(b":status", b"503"), (b"grpc-status", b"5"), (b"grpc-message", b"n%C3%B6"), (b"k-bin", b"AP8")]
    error = await outcome(lambda peer, stream: peer.h2.send_response(stream, fields, end_stream=True))
    assert (error.code, error.message, tuple(error.trailers)) == (Code.NOT_FOUND, "nö", (("k-bin", b"\x00\xff"),))


async def test_ok_without_an_answer_or_with_two_is_an_error() -> None:
    """A unary call has one answer."""

    def none(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, [*HEAD, (b"grpc-status", b"0")], end_stream=True)

    def two(peer: Peer, stream: int) -> None:
        answer(peer, stream, b"a", (b"grpc-encoding", b"identity"))

    assert (await outcome(none)).code is Code.INTERNAL

    def both(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, HEAD)
        peer.h2.send_data(stream, message(b"a") + message(b"b"))
        peer.h2.send_trailers(stream, [(b"grpc-status", b"0")])

    assert (await outcome(both)).code is Code.INTERNAL
    async with answering(on_request(two)) as (address, _):
        channel = FAST.connect(address)
        assert (await channel.unary("/t.T/x", b"")).payload == b"a"
        await channel.close()


async def test_compressed_answers_are_understood_and_bombs_are_not_unpacked() -> None:
    """It is announced, so it may come; the limit counts what it unpacks to."""
    bomb = gzip.compress(b"\0" * 10_000_000)

    def act(peer: Peer, stream: int) -> None:
        payload = gzip.compress(b"hello") if stream == 1 else bomb
        peer.h2.send_response(stream, [*HEAD, (b"grpc-encoding", b"gzip")])
        peer.h2.send_data(stream, b"\1" + len(payload).to_bytes(4, "big") + payload)
        peer.h2.send_trailers(stream, [(b"grpc-status", b"0")])

    async with answering(on_request(act)) as (address, peers):
        channel = FAST.connect(address, ChannelOptions(receive_limit=1_000_000))
        assert (await channel.unary("/t.T/x", b"")).payload == b"hello"
        assert (b"grpc-accept-encoding", b"identity,gzip") in peers[0].of(ngh2.RequestReceived)[0].headers
        assert (await failing(lambda: channel.unary("/t.T/x", b""))).code is Code.RESOURCE_EXHAUSTED
        await channel.close()


async def test_a_cancel_by_the_peer_after_the_deadline_is_the_deadline() -> None:
    """Its timer was faster than ours; before the deadline it is a cancellation."""
    due = asyncio.get_running_loop().create_future()

    def act(peer: Peer, stream: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, lambda: (peer.h2.reset_stream(stream, 8), peer.flush(), due.set_result(None)))

    error = await outcome(act, timeout=0.05)
    assert (error.code, error.local_deadline) == (Code.DEADLINE_EXCEEDED, True)


async def test_a_call_that_is_cancelled_before_there_is_a_connection_is_never_sent() -> None:
    """What the peer never saw need not be taken back."""
    async with answering(on_request(answer)) as (address, peers):
        channel = FAST.connect(address)
        calls = [asyncio.ensure_future(channel.unary("/t.T/x", b"")) for _ in range(50)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (await channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
        assert not peers[0].of(ngh2.StreamReset)
        assert len(peers[0].of(ngh2.RequestReceived)) == 1
        await channel.close()


async def test_metadata_over_what_the_peer_takes_is_not_sent() -> None:
    """SETTINGS_MAX_HEADER_LIST_SIZE: the peer would end the connection."""
    async with answering(on_request(answer)) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        peers[0].h2.update_settings({6: 4000})
        peers[0].flush()
        await peers[0].wait(ngh2.SettingsAcknowledged, 2)
        assert (await channel.unary("/t.T/x", b"", metadata=(("k", "v" * 1000),))).payload == b"ok"
        error = await failing(lambda: channel.unary("/t.T/x", b"", metadata=(("k", "v" * 4000),)))
        assert (error.code, error.sent) == (Code.RESOURCE_EXHAUSTED, False)
        many = tuple((f"k{n}", "") for n in range(300))
        peers[0].h2.update_settings({6: 60_000})
        peers[0].flush()
        await peers[0].wait(ngh2.SettingsAcknowledged, 3)
        error = await failing(lambda: channel.unary("/t.T/x", b"", metadata=many))
        assert (error.code, error.sent) == (Code.RESOURCE_EXHAUSTED, False)
        peers[0].h2.update_settings({6: 4000})
        peers[0].flush()
        await peers[0].wait(ngh2.SettingsAcknowledged, 4)
        stream = channel.stream("/t.T/x", b"", metadata=(("k", "v" * 4000),))
        assert (await failing(stream.read)).code is Code.RESOURCE_EXHAUSTED
        await stream.aclose()
        assert not channel.live
        assert len(peers) == 1
        await channel.close()


async def test_a_stream_whose_message_is_none_ends_and_is_cancelled() -> None:
    """The good messages before it are read; the peer is told to stop."""

    def act(peer: Peer, stream: int) -> None:
        peer.h2.send_response(stream, HEAD)
        peer.h2.send_data(stream, message(b"a") + b"\7\0\0\0\0")

    async with answering(on_request(act)) as (address, peers):
        channel = FAST.connect(address)
        stream = channel.stream("/t.T/x", b"")
        assert await stream.read() == b"a"
        first = await failing(stream.read)
        assert first.code is Code.INTERNAL
        assert await failing(stream.read) is first
        await peers[0].wait(ngh2.StreamReset)
        await stream.aclose()
        assert not channel.live
        await channel.close()


async def test_a_duplex_that_has_no_connection_yet_says_how_it_failed() -> None:
    """Writers and readers wait for the connection, and hear that there is none; a closed call writes nothing."""
    channel = FAST.connect("unix:/nonexistent/socket")
    call = channel.duplex("/t.T/chat")
    writing, closing = asyncio.ensure_future(call.write(b"a")), asyncio.ensure_future(call.half_close())
    error = await failing(call.read)
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    assert (await failing(lambda: writing)).code is Code.UNAVAILABLE
    await closing
    await call.aclose()
    waiting = FAST.connect("unix:/nonexistent/socket").duplex("/t.T/chat")
    await waiting.aclose()
    assert (await failing(lambda: waiting.write(b"a"))).code is Code.CANCELLED
    await channel.close()
    with pytest.raises(RpcError):
        channel.duplex("/t.T/chat")


async def test_writing_after_half_close_is_an_error() -> None:
    """Of the writer; the call goes on."""
    async with answering(lambda _peer, _event: None) as (address, peers):
        channel = FAST.connect(address)
        call = channel.duplex("/t.T/chat")
        await call.half_close()
        assert (await failing(lambda: call.write(b"a"))).code is Code.FAILED_PRECONDITION
        answer(peers[0], (await peers[0].wait(ngh2.RequestReceived)).stream_id)
        peers[0].flush()
        assert await call.read() == b"ok"
        assert await call.read() is None
        assert (await failing(lambda: call.write(b"a"))).message == "the call has ended"
        await call.aclose()
        await channel.close()
