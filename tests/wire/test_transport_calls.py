"""The port over real sockets: what calls give, how they fail, how they are cancelled."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Self

import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from fanmesh.model.fault import Code
from fanmesh.transport import status
from fanmesh.transport.grpc_aio import GrpcChannel, GrpcTransport
from fanmesh.transport.port import MIB, ChannelOptions, Routes, RpcError, ServerCall, ServerOptions, StatusError

TRANSPORT = GrpcTransport()


class _Worker:
    """A server whose handlers note what became of them."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.done = asyncio.Event()
        self.left: float | None = None

    async def echo(self, request: bytes, call: ServerCall) -> bytes:
        self.left = call.time_remaining()
        call.set_trailers((("seen", call.header("asked")), ("raw-bin", b"\x00\xff")))
        call.on_done(self.done.set)
        return request

    async def hang(self, _: bytes, call: ServerCall) -> bytes:
        self.arrived.set()
        self.left = call.time_remaining()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def refuse(self, request: bytes, _: ServerCall) -> bytes:
        details = [status.error_info("NO", {"why": "because"})]
        raise StatusError(Code.FAILED_PRECONDITION, request.decode(), trailers=(("extra", "1"),), details=details)

    async def crash(self, _: bytes, __: ServerCall) -> bytes:
        raise KeyError("secret")

    async def cancel_itself(self, _: bytes, __: ServerCall) -> bytes:
        raise asyncio.CancelledError

    async def relay(self, request: bytes, _: ServerCall) -> bytes:
        raise StatusError(Code.UNAVAILABLE, request.decode())

    async def count(self, request: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        call.set_trailers((("end", "1"),))
        for n in range(int(request)):
            yield b"%d" % n

    async def drip(self, _: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            self.arrived.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def half(self, _: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        yield b"first"
        raise StatusError(Code.DATA_LOSS, "the rest is gone")

    async def chat(self, requests: AsyncIterator[bytes], call: ServerCall) -> None:
        async for request in requests:
            if request == b"bye":
                return
            await call.write(request.upper())
        call.set_trailers((("closed", "by you"),))

    def routes(self) -> Routes:
        return Routes(
            unary={
                f"/t.T/{f.__name__}": f for f in (self.echo, self.hang, self.refuse, self.crash, self.cancel_itself, self.relay)
            },
            stream={f"/t.T/{f.__name__}": f for f in (self.count, self.drip, self.half)},
            duplex={"/t.T/chat": self.chat},
        )


class _Peers:
    """One server and one channel to it."""

    def __init__(self, options: ChannelOptions) -> None:
        self.worker = _Worker()
        self.server = TRANSPORT.server("127.0.0.1:0", self.worker.routes())
        self.channel: GrpcChannel = TRANSPORT.connect(f"127.0.0.1:{self.server.port}", options)

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.stop()


def peers(options: ChannelOptions | None = None) -> _Peers:
    return _Peers(options or ChannelOptions())


async def failing(call: Callable[[], object]) -> RpcError:
    with pytest.raises(RpcError) as e:
        await call()  # type: ignore[misc]
    return e.value


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 5)


@pytest.mark.asyncio
async def test_a_unary_call_carries_bytes_metadata_and_trailers() -> None:
    """What is sent arrives, and what is answered comes back, text and binary."""
    async with peers() as p:
        assert p.channel.ready()
        reply = await p.channel.unary("/t.T/echo", b"\x00raw", timeout=5, metadata=(("asked", "yes"),))
        assert reply.payload == b"\x00raw"
        assert tuple(reply.trailers) == (("seen", "yes"), ("raw-bin", b"\x00\xff"))
        await soon(p.worker.done)


@pytest.mark.asyncio
async def test_the_timeout_is_the_workers_deadline() -> None:
    """A handler sees what its caller has left, or that it set no deadline."""
    async with peers() as p:
        await p.channel.unary("/t.T/echo", b"", timeout=3)
        assert p.worker.left is not None
        assert 0 < p.worker.left < 3.1  # gRPC rounds what travels
        await p.channel.unary("/t.T/echo", b"")
        assert p.worker.left is None


@pytest.mark.asyncio
async def test_a_deadline_of_ours_is_told_from_one_of_the_peers() -> None:
    """Our timer is `local_deadline`; the same status from the peer, with time left, is not."""
    async with peers() as p:
        assert await p.channel.wait_ready(5)
        ours = await failing(lambda: p.channel.unary("/t.T/hang", b"", timeout=0.2))
        assert (ours.code, ours.local_deadline, ours.sent) == (Code.DEADLINE_EXCEEDED, True, True)
        await soon(p.worker.cancelled)

        async def exceed(_: bytes, __: ServerCall) -> bytes:
            raise StatusError(Code.DEADLINE_EXCEEDED, "upstream")

        server = TRANSPORT.server("127.0.0.1:0", Routes(unary={"/t.T/exceed": exceed}))
        await server.start()
        channel = TRANSPORT.connect(f"127.0.0.1:{server.port}")
        theirs = await failing(lambda: channel.unary("/t.T/exceed", b"", timeout=5))
        assert (theirs.code, theirs.local_deadline) == (Code.DEADLINE_EXCEEDED, False)
        await channel.close()
        await server.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("left", [0, -1.0])
async def test_no_time_left_is_no_call(left: float) -> None:
    """A timeout of zero is not "for ever": nothing is sent."""
    async with peers() as p:
        error = await failing(lambda: p.channel.unary("/t.T/echo", b"", timeout=left))
        assert (error.code, error.local_deadline, error.sent) == (Code.DEADLINE_EXCEEDED, True, False)
        with pytest.raises(RpcError):
            p.channel.stream("/t.T/count", b"1", timeout=left)
        with pytest.raises(RpcError):
            p.channel.duplex("/t.T/chat", timeout=left)


@pytest.mark.asyncio
async def test_cancelling_the_task_cancels_the_worker() -> None:
    """The worker sees the cancel long before its own deadline, and the caller's task ends cancelled."""
    async with peers() as p:
        task = asyncio.ensure_future(p.channel.unary("/t.T/hang", b"", timeout=60))
        await soon(p.worker.arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(p.worker.cancelled)
        assert not p.channel.live


@pytest.mark.asyncio
async def test_a_status_arrives_with_its_details_and_trailers() -> None:
    """Code, message (any script), ErrorInfo and further trailers survive."""
    async with peers() as p:
        error = await failing(lambda: p.channel.unary("/t.T/refuse", "nö: 50 % \n".encode()))
        assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "nö: 50 % \n")
        assert ("extra", "1") in tuple(error.trailers)
        info = status.find(status.read(error.trailers), ErrorInfo)
        assert info is not None
        assert (info.reason, info.domain, dict(info.metadata)) == ("NO", "fanmesh", {"why": "because"})


@pytest.mark.asyncio
async def test_a_very_long_message_does_not_replace_the_status() -> None:
    """Messages are cut before they make the trailers too large."""
    async with peers() as p:
        error = await failing(lambda: p.channel.unary("/t.T/refuse", b"x" * 100_000))
        assert error.code is Code.FAILED_PRECONDITION
        assert len(error.message) == status.MESSAGE_LIMIT


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "message"), [("crash", "KeyError"), ("cancel_itself", "the handler was cancelled from inside")]
)
async def test_a_handler_that_fails_by_mistake_gives_its_caller_a_status(path: str, message: str) -> None:
    """INTERNAL with the type and no more; also for a handler that claims to have been cancelled."""
    async with peers() as p:
        error = await failing(lambda: p.channel.unary(f"/t.T/{path}", b"", timeout=5))
        assert (error.code, error.message) == (Code.INTERNAL, message)


@pytest.mark.asyncio
async def test_an_unknown_method_is_unimplemented() -> None:
    """As every gRPC server says it."""
    async with peers() as p:
        assert (await failing(lambda: p.channel.unary("/t.T/none", b""))).code is Code.UNIMPLEMENTED


@pytest.mark.asyncio
@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "unix:/nonexistent/socket", "localhost:{port}"])
async def test_what_found_no_connection_was_never_sent(address: str) -> None:
    """UNAVAILABLE with `sent` False: the one failure after which a write may be tried again. Holds for the installed grpcio."""
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        channel = TRANSPORT.connect(address.format(port=taken.getsockname()[1]))
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
async def test_a_worker_that_relays_such_an_error_was_sent_to() -> None:
    """The text alone proves nothing: it may be about a connection of the worker's own."""
    async with peers() as p:
        text = b"failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused"
        error = await failing(lambda: p.channel.unary("/t.T/relay", text))
        assert (error.code, error.sent) == (Code.UNAVAILABLE, True)


@pytest.mark.asyncio
async def test_a_server_that_dies_under_a_call_was_sent_to() -> None:
    """The request may have had its effect."""
    async with peers() as p:
        task = asyncio.ensure_future(p.channel.unary("/t.T/hang", b"", timeout=10))
        await soon(p.worker.arrived)
        await p.server.stop()
        with pytest.raises(RpcError) as e:
            await task
        assert (e.value.code, e.value.sent) == (Code.UNAVAILABLE, True)


@pytest.mark.asyncio
async def test_metadata_that_cannot_be_sent_is_an_error_and_not_a_crash() -> None:
    """A header with a line break never leaves this process."""
    async with peers() as p:
        error = await failing(lambda: p.channel.unary("/t.T/echo", b"", metadata=(("a", "x\ny"),)))
        assert (error.code, error.sent) == (Code.INTERNAL, False)
        assert not p.channel.live


@pytest.mark.asyncio
async def test_a_message_over_the_receive_limit_is_refused() -> None:
    """On this side as RESOURCE_EXHAUSTED, whatever the peer sends."""
    async with peers(ChannelOptions(receive_limit=1000)) as p:
        assert (await failing(lambda: p.channel.unary("/t.T/echo", b"x" * 2000))).code is Code.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_a_server_refuses_requests_over_its_limit() -> None:
    """As RESOURCE_EXHAUSTED, before a handler sees them."""
    worker = _Worker()
    server = TRANSPORT.server("127.0.0.1:0", worker.routes(), options=ServerOptions(receive_limit=1000))
    await server.start()
    channel = TRANSPORT.connect(f"127.0.0.1:{server.port}")
    assert (await failing(lambda: channel.unary("/t.T/echo", b"x" * 2000))).code is Code.RESOURCE_EXHAUSTED
    await channel.close()
    await server.stop()


@pytest.mark.asyncio
async def test_a_stream_gives_every_message_and_then_its_trailers() -> None:
    """Also when it ends before the first one is read."""
    async with peers() as p:
        for n in (0, 1, 500):
            stream = p.channel.stream("/t.T/count", b"%d" % n)
            assert [int(m) async for m in stream] == list(range(n))
            assert tuple(stream.trailers) == (("end", "1"),)
            await stream.aclose()
            assert [m async for m in stream] == []


@pytest.mark.asyncio
async def test_closing_a_stream_cancels_the_worker() -> None:
    """`aclose` reaches the peer, whether or not somebody is reading, and may be repeated."""
    async with peers() as p:
        stream = p.channel.stream("/t.T/drip", b"")
        assert await anext(stream) == b"first"
        reading = asyncio.ensure_future(stream.read())
        await soon(p.worker.arrived)
        await stream.aclose()
        await stream.aclose()
        await soon(p.worker.cancelled)
        with pytest.raises(RpcError) as e:
            await reading
        assert e.value.code is Code.CANCELLED
        assert not p.channel.live


@pytest.mark.asyncio
async def test_a_cancelled_read_loses_nothing() -> None:
    """Whoever stops waiting for a message may come back for it."""
    async with peers() as p:
        call = p.channel.duplex("/t.T/chat")
        reading = asyncio.ensure_future(call.read())
        await asyncio.wait((reading,), timeout=0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await call.write(b"a")
        assert await call.read() == b"A"
        await call.aclose()


@pytest.mark.asyncio
async def test_a_stream_that_breaks_gives_its_parts_first() -> None:
    """Then the status, as RpcError."""
    async with peers() as p:
        stream = p.channel.stream("/t.T/half", b"")
        assert await anext(stream) == b"first"
        error = await failing(lambda: anext(stream))
        assert (error.code, error.message) == (Code.DATA_LOSS, "the rest is gone")
        await stream.aclose()


@pytest.mark.asyncio
async def test_a_stream_that_outlives_its_timeout_is_a_deadline_of_ours() -> None:
    """The timeout covers the whole stream."""
    async with peers() as p:
        stream = p.channel.stream("/t.T/drip", b"", timeout=0.1)
        assert await anext(stream) == b"first"
        error = await failing(lambda: anext(stream))
        assert (error.code, error.local_deadline) == (Code.DEADLINE_EXCEEDED, True)
        await stream.aclose()


@pytest.mark.asyncio
async def test_a_duplex_call_talks_both_ways_and_ends_on_half_close() -> None:
    """Half-close may be repeated; the end comes with trailers."""
    async with peers() as p:
        call = p.channel.duplex("/t.T/chat")
        for word in (b"a", b"b"):
            await call.write(word)
            assert await call.read() == word.upper()
        await call.half_close()
        await call.half_close()
        assert await call.read() is None
        assert tuple(call.trailers) == (("closed", "by you"),)
        await call.aclose()
        assert not p.channel.live


@pytest.mark.asyncio
async def test_writing_after_the_peer_has_ended_is_an_error() -> None:
    """The call says that it is over instead of swallowing what nobody reads."""
    async with peers() as p:
        call = p.channel.duplex("/t.T/chat")
        await call.write(b"bye")
        assert await call.read() is None
        await failing(lambda: call.write(b"more"))
        await call.half_close()
        await call.aclose()


@pytest.mark.asyncio
async def test_closing_a_channel_waits_for_its_calls_and_then_ends_them() -> None:
    """Within the grace calls may finish; after it they fail as UNAVAILABLE; later ones are never sent."""
    async with peers() as p:
        hanging = asyncio.ensure_future(p.channel.unary("/t.T/hang", b""))
        stream = p.channel.stream("/t.T/drip", b"")
        assert await anext(stream) == b"first"
        reading = asyncio.ensure_future(stream.read())
        await soon(p.worker.arrived)
        await p.channel.close(grace=0.02)
        for ended in (hanging, reading):
            with pytest.raises(RpcError) as e:
                await ended
            assert e.value.code is Code.UNAVAILABLE
        await soon(p.worker.cancelled)
        await stream.aclose()
        error = await failing(lambda: p.channel.unary("/t.T/echo", b""))
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        assert not p.channel.ready()


@pytest.mark.asyncio
async def test_a_call_that_ends_within_the_grace_ends_well() -> None:
    """Closing is not cancelling."""
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def wait(_: bytes, __: ServerCall) -> bytes:
        entered.set()
        await gate.wait()
        return b"done"

    server = TRANSPORT.server("127.0.0.1:0", Routes(unary={"/t.T/wait": wait}))
    await server.start()
    channel = TRANSPORT.connect(f"127.0.0.1:{server.port}")
    call = asyncio.ensure_future(channel.unary("/t.T/wait", b""))
    await soon(entered)
    closing = asyncio.ensure_future(channel.close(grace=5))
    gate.set()
    assert (await call).payload == b"done"
    await closing
    await server.stop()


@pytest.mark.asyncio
async def test_a_cancelled_write_stays_on_its_way_and_the_next_one_waits_for_it() -> None:
    """A peer that does not read stops its writer; a writer that gives up breaks neither the call nor the order."""
    gate = asyncio.Event()

    async def late_reader(requests: AsyncIterator[bytes], call: ServerCall) -> None:
        await gate.wait()
        async for request in requests:
            await call.write(b"%d" % len(request))

    server = TRANSPORT.server("127.0.0.1:0", Routes(duplex={"/t.T/late": late_reader}))
    await server.start()
    channel = TRANSPORT.connect(f"127.0.0.1:{server.port}")
    call = channel.duplex("/t.T/late")
    taken = 0
    while True:  # until the windows on the way are full; how much they hold is the transport's affair
        writing = asyncio.ensure_future(call.write(b"x" * MIB))
        if not (await asyncio.wait((writing,), timeout=0.1))[0]:
            break
        taken += 1
        assert taken < 200
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    second = asyncio.ensure_future(call.write(b"y"))
    await asyncio.wait((second,), timeout=0)
    third = asyncio.ensure_future(call.write(b"z"))
    await asyncio.wait((third,), timeout=0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    gate.set()
    await second
    await call.half_close()
    assert [await call.read() for _ in range(taken + 3)] == [b"%d" % MIB] * (taken + 1) + [b"1", None]
    await call.aclose()
    await channel.close()
    await server.stop()
