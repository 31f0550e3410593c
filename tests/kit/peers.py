"""A server and a channel, of whichever transport, and what its handlers do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, Self

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport import status
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import ChannelOptions, Routes, RpcError, ServerCall, StatusError, Transport

TRANSPORTS: dict[str, Callable[[], Transport]] = {"grpcio": GrpcTransport, "fast": FastTransport}


class Pair(NamedTuple):
    """Who calls, and who is called."""

    client: Transport
    server: Transport


class Worker:
    """A server whose handlers note what became of them."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.done = asyncio.Event()
        self.left: float | None = None

    async def echo(self, request: bytes, call: ServerCall) -> bytes:
        """Answer with the request."""
        self.left = call.time_remaining()
        call.set_trailers((("seen", call.header("asked")), ("raw-bin", b"\x00\xff")))
        call.on_done(self.done.set)
        return request

    async def hang(self, _: bytes, call: ServerCall) -> bytes:
        """Never answer."""
        self.arrived.set()
        self.left = call.time_remaining()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def refuse(self, request: bytes, _: ServerCall) -> bytes:
        """End with a rich status; its message is the request."""
        details = [status.error_info("NO", {"why": "because"})]
        raise StatusError(Code.FAILED_PRECONDITION, request.decode(), trailers=(("extra", "1"),), details=details)

    async def crash(self, _: bytes, __: ServerCall) -> bytes:
        """Fail by mistake."""
        raise KeyError("secret")

    async def cancel_itself(self, _: bytes, __: ServerCall) -> bytes:
        """End in a cancellation that nobody asked for."""
        raise asyncio.CancelledError

    async def relay(self, request: bytes, _: ServerCall) -> bytes:
        """Answer UNAVAILABLE in words of the caller."""
        raise StatusError(Code.UNAVAILABLE, request.decode())

    async def count(self, request: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        """As many numbers as asked for."""
        call.set_trailers((("end", "1"),))
        for n in range(int(request)):
            yield b"%d" % n

    async def drip(self, _: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        """One part, then nothing."""
        try:
            yield b"first"
            self.arrived.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def half(self, _: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        """One part, then a failure."""
        yield b"first"
        raise StatusError(Code.DATA_LOSS, "the rest is gone")

    async def chat(self, requests: AsyncIterator[bytes], call: ServerCall) -> None:
        """Upper case for each word, until it is bye."""
        async for request in requests:
            if request == b"bye":
                return
            await call.write(request.upper())
        call.set_trailers((("closed", "by you"),))

    def routes(self) -> Routes:
        """All of it, as /t.T/…."""
        return Routes(
            unary={
                f"/t.T/{f.__name__}": f for f in (self.echo, self.hang, self.refuse, self.crash, self.cancel_itself, self.relay)
            },
            stream={f"/t.T/{f.__name__}": f for f in (self.count, self.drip, self.half)},
            duplex={"/t.T/chat": self.chat},
        )


class Peers:
    """One server and one channel to it. The channel is either transport's: both say in `live` which calls run."""

    def __init__(self, pair: Pair, options: ChannelOptions) -> None:
        self.worker = Worker()
        self.server = pair.server.server("127.0.0.1:0", self.worker.routes())
        self.channel: Any = pair.client.connect(f"127.0.0.1:{self.server.port}", options)

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.stop()


def peers(pair: Pair, options: ChannelOptions | None = None) -> Peers:
    return Peers(pair, options or ChannelOptions())


async def failing(call: Callable[[], object]) -> RpcError:
    with pytest.raises(RpcError) as e:
        await call()  # type: ignore[misc]
    return e.value


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 5)
