"""How calls fail that were, or were not, sent: each way once, on real sockets, under whatever grpcio runs this.

    python -m tests.kit.never_sent      # prints {"grpcio": …, "ways": {way: [[code, sent, text], …]}} for that interpreter

Not a test file, because it also runs where there is no pytest: in an environment with another grpcio (see `other_grpcio`). The
servers are written in bytes: no library lets one refuse a stream, or die between a request and its answer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import grpc

from fanmesh.transport.grpc_aio import GrpcChannel, GrpcTransport
from fanmesh.transport.port import ChannelOptions, RpcError

Errors: TypeAlias = list[RpcError]
Way: TypeAlias = Callable[[], Awaitable[Errors]]
Serve: TypeAlias = Callable[["Connection"], Awaitable[None]]

REFUSED_STREAM: Final = 7
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS: Final = 4
PREFACE: Final = 24
QUICK: Final = ChannelOptions(connect_timeout=0.2)
TIMEOUT: Final = 30.0


class Connection:
    """The server's side of an HTTP/2 connection, as far as these ways go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, *frames: tuple[int, int, int, bytes]) -> None:
        """Frames of (kind, flags, stream, payload) in one write."""
        head = ">IBBI"
        parts = [struct.pack(head, len(body), kind, flags, stream)[1:] + body for kind, flags, stream, body in frames]
        self._writer.write(b"".join(parts))
        await self._writer.drain()

    async def shake(self) -> None:
        """From here on the client is connected."""
        await self.reader.readexactly(PREFACE)
        await self.send((SETTINGS, 0, 0, b""), (SETTINGS, ACK, 0, b""))

    async def request(self) -> int:
        """The stream of the next request, once it is here whole or the first part of it."""
        while True:
            length, kind, flags, stream = struct.unpack(">IBBI", b"\0" + await self.reader.readexactly(9))
            body = await self.reader.readexactly(length)
            if kind == PING and not flags & ACK:
                await self.send((PING, ACK, 0, body))
            if kind == DATA or (kind == HEADERS and stream):
                if kind == DATA and not length:
                    continue  # the half-close of a request that was told already
                return int(stream)

    def reset(self) -> None:
        """Close it the rude way."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def header(name: str, value: str) -> bytes:
    """A literal of HPACK, never indexed."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    raw, rest = text.encode(), len(text) - 127
    if rest < 0:
        return bytes([len(raw)]) + raw
    length = b"\x7f"
    while rest >= 128:
        length, rest = length + bytes([rest % 128 | 128]), rest >> 7
    return length + bytes([rest]) + raw


def trailers(message: str) -> bytes:
    """A status UNAVAILABLE without an answer before it."""
    named = {"content-type": "application/grpc", "grpc-status": "14", "grpc-message": message}
    return b"\x88" + b"".join(header(name, value) for name, value in named.items())


@asynccontextmanager
async def raw(serve: Serve) -> AsyncIterator[int]:
    """A server on loopback whose every connection is served like that; its port."""
    serving: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(Connection(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(served(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[GrpcChannel]:
    channel = GrpcTransport().connect(address, QUICK)
    try:
        yield channel
    finally:
        await channel.close()


async def each_kind(channel: GrpcChannel) -> Errors:
    """What a call of each kind ends with, and a unary one again, which finds the channel as the first one has left it."""
    return [await unary(channel), await unary(channel), await streaming(channel), await duplex(channel)]


async def unary(channel: GrpcChannel) -> RpcError:
    try:
        await channel.unary("/t.T/write", b"request", timeout=TIMEOUT)
    except RpcError as error:
        return error
    raise AssertionError("it was answered")


async def streaming(channel: GrpcChannel) -> RpcError:
    stream = channel.stream("/t.T/write", b"request", timeout=TIMEOUT)
    try:
        await anext(stream)
    except RpcError as error:
        return error
    finally:
        await stream.aclose()
    raise AssertionError("it was answered")


async def duplex(channel: GrpcChannel) -> RpcError:
    try:
        call = channel.duplex("/t.T/write", timeout=TIMEOUT)
    except RpcError as error:  # of a channel that is closed
        return error
    try:
        await call.write(b"request")
        await call.read()
    except RpcError as error:
        return error
    finally:
        await call.aclose()
    raise AssertionError("it was answered")


async def at(address: str) -> Errors:
    async with channel_to(address) as channel:
        return await each_kind(channel)


async def served(serve: Serve, address: str = "127.0.0.1:{port}") -> Errors:
    async with raw(serve) as port, channel_to(address.format(port=port)) as channel:
        return await each_kind(channel)


async def at_closed_port(address: str) -> Errors:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        return await at(address.format(port=taken.getsockname()[1]))


# ---------------------------------------------------------------- never sent


async def refused() -> Errors:
    return await at_closed_port("127.0.0.1:{port}")


async def refused_with_scheme() -> Errors:
    return await at_closed_port("ipv4:127.0.0.1:{port}")


async def refused_ipv6() -> Errors:
    return await at_closed_port("[::1]:{port}")


async def refused_behind_a_name() -> Errors:
    return await at_closed_port("dns:///localhost:{port}")


async def unknown_name() -> Errors:
    """A label that no name may have: known to be unknown without asking anybody."""
    return await at(f"dns:///{'x' * 70}.invalid:50051")


async def no_socket() -> Errors:
    return await at("unix:/no/such/socket")


async def dead_socket() -> Errors:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as bound:
        path = str(Path(folder) / "socket")
        bound.bind(path)
        return await at(f"unix:{path}")


async def closed_at_once() -> Errors:
    async def serve(_: Connection) -> None: ...

    return await served(serve)


async def closed_before_settings() -> Errors:
    async def serve(c: Connection) -> None:
        await c.reader.readexactly(PREFACE)

    return await served(serve)


async def reset_before_settings() -> Errors:
    async def serve(c: Connection) -> None:
        await c.reader.readexactly(PREFACE)
        c.reset()

    return await served(serve)


async def silent_before_settings() -> Errors:
    async def serve(c: Connection) -> None:
        await c.reader.read()

    return await served(serve)


async def closed_channel() -> Errors:
    channel = GrpcTransport().connect("127.0.0.1:1", QUICK)
    await channel.close()
    return [await unary(channel), await duplex(channel)]


async def no_bootstrap() -> Errors:
    """Needs an environment without GRPC_XDS_BOOTSTRAP."""
    return await at("xds:///billing")


# ---------------------------------------------------------------- sent, or in doubt


async def dies() -> Errors:
    async def serve(c: Connection) -> None:
        await c.shake()
        await c.request()

    return await served(serve)


async def resets() -> Errors:
    async def serve(c: Connection) -> None:
        await c.shake()
        await c.request()
        c.reset()

    return await served(serve)


async def refuses_the_stream() -> Errors:
    async def serve(c: Connection) -> None:
        await c.shake()
        refused: set[int] = set()
        while True:
            if (stream := await c.request()) not in refused:
                refused.add(stream)
                await c.send((RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM)))

    return await served(serve)


async def goes_away() -> Errors:
    """The last stream that it looked at is 0: it says that it has not looked at this one."""

    async def serve(c: Connection) -> None:
        await c.shake()
        await c.request()
        await c.send((GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        await c.reader.read()

    return await served(serve)


async def goes_away_and_closes() -> Errors:
    async def serve(c: Connection) -> None:
        await c.shake()
        stream = await c.request()
        await c.send((GOAWAY, 0, 0, struct.pack(">II", stream, 0)))

    return await served(serve)


def _relayed(address: str) -> Callable[[], Awaitable[Errors]]:
    """The worst case: a server that leaves answers with such a text of its own, about its own port somewhere else."""

    async def way() -> Errors:
        ports: list[int] = []

        async def serve(c: Connection) -> None:
            await c.shake()
            stream = await c.request()
            text = f"failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:{ports[0]}: Connection refused"
            leaving = (GOAWAY, 0, 0, struct.pack(">II", stream, 0))
            await c.send(leaving, (HEADERS, END_HEADERS | END_STREAM, stream, trailers(text)))
            await c.reader.read()

        async with raw(serve) as port, channel_to(address.format(port=port)) as channel:
            ports.append(port)
            return await each_kind(channel)

    return way


NEVER_SENT: Final[dict[str, Way]] = {
    way.__name__: way
    for way in (
        refused,
        refused_with_scheme,
        refused_ipv6,
        refused_behind_a_name,
        unknown_name,
        no_socket,
        dead_socket,
        closed_at_once,
        closed_before_settings,
        reset_before_settings,
        silent_before_settings,
        closed_channel,
        no_bootstrap,
    )
}
"""Nothing has left this process."""

SENT: Final[dict[str, Way]] = {
    **{way.__name__: way for way in (dies, resets, refuses_the_stream, goes_away, goes_away_and_closes)},
    "relays_and_leaves": _relayed("127.0.0.1:{port}"),
    "relays_and_leaves_behind_a_name": _relayed("dns:///localhost:{port}"),
}
"""The request left, whatever the server says of it."""


async def main() -> None:
    """Go every way, and print what came of it."""
    ways = {}
    for name, way in (NEVER_SENT | SENT).items():
        ways[name] = [(error.code.name, error.sent, error.message) for error in await way()]
    json.dump({"grpcio": grpc.__version__, "ways": ways}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
