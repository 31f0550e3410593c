"""Unary calls of each transport with itself and with the other, on real sockets."""

import asyncio
import socket

import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from fanmesh.model.fault import Code
from fanmesh.transport import status
from fanmesh.transport.port import ChannelOptions, Routes, RpcError, ServerCall, ServerOptions, StatusError
from tests.kit.peers import Pair, Worker, failing, peers, soon


@pytest.mark.asyncio
async def test_a_unary_call_carries_bytes_metadata_and_trailers(pair: Pair) -> None:
    """What is sent arrives, and what is answered comes back, text and binary."""
    async with peers(pair) as p:
        assert p.channel.ready()
        reply = await p.channel.unary("/t.T/echo", b"\x00raw", timeout=5, metadata=(("asked", "yes"),))
        assert reply.payload == b"\x00raw"
        assert tuple(reply.trailers) == (("seen", "yes"), ("raw-bin", b"\x00\xff"))
        await soon(p.worker.done)


@pytest.mark.asyncio
async def test_the_timeout_is_the_workers_deadline(pair: Pair) -> None:
    """A handler sees what its caller has left, or that it set no deadline."""
    async with peers(pair) as p:
        await p.channel.unary("/t.T/echo", b"", timeout=3)
        assert p.worker.left is not None
        assert 0 < p.worker.left < 3.1  # gRPC rounds what travels
        await p.channel.unary("/t.T/echo", b"")
        assert p.worker.left is None


@pytest.mark.asyncio
async def test_a_deadline_of_ours_is_told_from_one_of_the_peers(pair: Pair) -> None:
    """Our timer is `local_deadline`; the same status from the peer, with time left, is not."""
    async with peers(pair) as p:
        assert await p.channel.wait_ready(5)
        ours = await failing(lambda: p.channel.unary("/t.T/hang", b"", timeout=0.2))
        assert (ours.code, ours.local_deadline, ours.sent) == (Code.DEADLINE_EXCEEDED, True, True)
        await soon(p.worker.cancelled)

        async def exceed(_: bytes, __: ServerCall) -> bytes:
            raise StatusError(Code.DEADLINE_EXCEEDED, "upstream")

        server = pair.server.server("127.0.0.1:0", Routes(unary={"/t.T/exceed": exceed}))
        await server.start()
        channel = pair.client.connect(f"127.0.0.1:{server.port}")
        theirs = await failing(lambda: channel.unary("/t.T/exceed", b"", timeout=5))
        assert (theirs.code, theirs.local_deadline) == (Code.DEADLINE_EXCEEDED, False)
        await channel.close()
        await server.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("left", [0, -1.0])
async def test_no_time_left_is_no_call(pair: Pair, left: float) -> None:
    """A timeout of zero is not "for ever": nothing is sent."""
    async with peers(pair) as p:
        error = await failing(lambda: p.channel.unary("/t.T/echo", b"", timeout=left))
        assert (error.code, error.local_deadline, error.sent) == (Code.DEADLINE_EXCEEDED, True, False)
        with pytest.raises(RpcError):
            p.channel.stream("/t.T/count", b"1", timeout=left)
        with pytest.raises(RpcError):
            p.channel.duplex("/t.T/chat", timeout=left)


@pytest.mark.asyncio
async def test_cancelling_the_task_cancels_the_worker(pair: Pair) -> None:
    """The worker sees the cancel long before its own deadline, and the caller's task ends cancelled."""
    async with peers(pair) as p:
        task = asyncio.ensure_future(p.channel.unary("/t.T/hang", b"", timeout=60))
        await soon(p.worker.arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(p.worker.cancelled)
        assert not p.channel.live


@pytest.mark.asyncio
async def test_a_status_arrives_with_its_details_and_trailers(pair: Pair) -> None:
    """Code, message (any script), ErrorInfo and further trailers survive."""
    async with peers(pair) as p:
        error = await failing(lambda: p.channel.unary("/t.T/refuse", "nö: 50 % \n".encode()))
        assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "nö: 50 % \n")
        assert ("extra", "1") in tuple(error.trailers)
        info = status.find(status.read(error.trailers), ErrorInfo)
        assert info is not None
        assert (info.reason, info.domain, dict(info.metadata)) == ("NO", "fanmesh", {"why": "because"})


@pytest.mark.asyncio
async def test_a_very_long_message_does_not_replace_the_status(pair: Pair) -> None:
    """Messages are cut before they make the trailers too large."""
    async with peers(pair) as p:
        error = await failing(lambda: p.channel.unary("/t.T/refuse", b"x" * 100_000))
        assert error.code is Code.FAILED_PRECONDITION
        assert len(error.message) == status.MESSAGE_LIMIT


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "message"), [("crash", "KeyError"), ("cancel_itself", "the handler was cancelled from inside")]
)
async def test_a_handler_that_fails_by_mistake_gives_its_caller_a_status(pair: Pair, path: str, message: str) -> None:
    """INTERNAL with the type and no more; also for a handler that claims to have been cancelled."""
    async with peers(pair) as p:
        error = await failing(lambda: p.channel.unary(f"/t.T/{path}", b"", timeout=5))
        assert (error.code, error.message) == (Code.INTERNAL, message)


@pytest.mark.asyncio
async def test_an_unknown_method_is_unimplemented(pair: Pair) -> None:
    """As every gRPC server says it."""
    async with peers(pair) as p:
        assert (await failing(lambda: p.channel.unary("/t.T/none", b""))).code is Code.UNIMPLEMENTED


@pytest.mark.asyncio
@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "unix:/nonexistent/socket", "localhost:{port}"])
async def test_what_found_no_connection_was_never_sent(pair: Pair, address: str) -> None:
    """UNAVAILABLE with `sent` False: the one failure after which a write may be tried again. Holds for the installed grpcio."""
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        channel = pair.client.connect(address.format(port=taken.getsockname()[1]))
        for _ in range(2):
            error = await failing(lambda: channel.unary("/t.T/echo", b"", timeout=5))
            assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        stream = channel.stream("/t.T/count", b"1", timeout=5)
        error = await failing(lambda: anext(stream))
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        await stream.aclose()
        assert not channel.ready()
        assert not await channel.wait_ready(0.01)
        await channel.close()


@pytest.mark.asyncio
async def test_a_worker_that_relays_such_an_error_was_sent_to(pair: Pair) -> None:
    """The text alone proves nothing: it may be about a connection of the worker's own."""
    async with peers(pair) as p:
        text = b"failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused"
        error = await failing(lambda: p.channel.unary("/t.T/relay", text))
        assert (error.code, error.sent) == (Code.UNAVAILABLE, True)


@pytest.mark.asyncio
async def test_a_server_that_dies_under_a_call_was_sent_to(pair: Pair) -> None:
    """The request may have had its effect."""
    async with peers(pair) as p:
        task = asyncio.ensure_future(p.channel.unary("/t.T/hang", b"", timeout=10))
        await soon(p.worker.arrived)
        await p.server.stop()
        with pytest.raises(RpcError) as e:
            await task
        assert (e.value.code, e.value.sent) == (Code.UNAVAILABLE, True)


@pytest.mark.asyncio
async def test_metadata_that_cannot_be_sent_is_an_error_and_not_a_crash(pair: Pair) -> None:
    """A header with a line break never leaves this process."""
    async with peers(pair) as p:
        error = await failing(lambda: p.channel.unary("/t.T/echo", b"", metadata=(("a", "x\ny"),)))
        assert (error.code, error.sent) == (Code.INTERNAL, False)
        assert not p.channel.live


@pytest.mark.asyncio
async def test_a_message_over_the_receive_limit_is_refused(pair: Pair) -> None:
    """On this side as RESOURCE_EXHAUSTED, whatever the peer sends."""
    async with peers(pair, ChannelOptions(receive_limit=1000)) as p:
        assert (await failing(lambda: p.channel.unary("/t.T/echo", b"x" * 2000))).code is Code.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_a_server_refuses_requests_over_its_limit(pair: Pair) -> None:
    """As RESOURCE_EXHAUSTED, before a handler sees them."""
    worker = Worker()
    server = pair.server.server("127.0.0.1:0", worker.routes(), options=ServerOptions(receive_limit=1000))
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    assert (await failing(lambda: channel.unary("/t.T/echo", b"x" * 2000))).code is Code.RESOURCE_EXHAUSTED
    await channel.close()
    await server.stop()
