"""A peer that speaks HTTP/2 and nothing of gRPC by itself: it does what a test tells it, right or wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import ngh2

E = TypeVar("E", bound=ngh2.Event)

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
GENEROUS = ngh2.Configuration(
    stream_reset_rate_limit=(10**6, 10**6), peer_max_concurrent_streams=10**6, max_send_header_block_length=10**7
)


def request(path: bytes = b"/t.T/echo", *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The header block of a gRPC call."""
    return [
        *((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"test")),
        *((b"te", b"trailers"), (b"content-type", b"application/grpc"), *more),
    ]


def message(payload: bytes) -> bytes:
    """A payload behind its head."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


class Peer(asyncio.Protocol):
    """One connection. `events` is all that has come, `wait` gives the next of a kind."""

    def __init__(self, role: ngh2.Role, on_event: Callable[["Peer", Any], None] | None = None) -> None:
        self.h2 = ngh2.Connection(role, GENEROUS)
        self.events: list[Any] = []
        self.lost = asyncio.Event()
        self._on_event = on_event
        self._more = asyncio.Event()
        self.transport: Any = None
        self.deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self.transport = transport
        self.h2.initiate_connection({3: 10_000, 4: 1 << 20} if self.h2.role is ngh2.Role.SERVER else {2: 0})
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Take it, unless deaf."""
        if self.deaf or self.of(ngh2.ConnectionClosed):
            return
        self.h2.receive_data(data)
        self._take()
        self.flush()

    def connection_lost(self, _: Exception | None) -> None:
        """Tell who waits."""
        self.lost.set()
        self._more.set()

    def flush(self) -> None:
        """Send what the engine has to say."""
        while data := self.h2.data_to_send():
            self.transport.write(data)
            self._take()

    def _take(self) -> None:
        for event in self.h2.events():
            self.events.append(event)
            if self._on_event is not None:
                self._on_event(self, event)
            if isinstance(event, ngh2.ConnectionClosed):
                self.transport.close()
        self._more.set()

    def of(self, kind: type[E]) -> list[E]:
        """What has come of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait(self, kind: type[E], count: int = 1) -> E:
        """The `count`th event of a kind."""
        async with asyncio.timeout(5):
            while len(self.of(kind)) < count:
                if self.lost.is_set():
                    raise ConnectionError(f"ended without {count} × {kind.__name__}")
                self._more.clear()
                await self._more.wait()
        return self.of(kind)[count - 1]

    async def gone(self) -> Self:
        """Wait until the connection has ended."""
        await asyncio.wait_for(self.lost.wait(), 5)
        return self


class Unhurried(Peer):
    """Its streams have large windows, and no window opens again by itself."""

    def __init__(self, role: ngh2.Role, on_event: Callable[["Peer", Any], None] | None = None) -> None:
        super().__init__(role, on_event)
        self.h2 = ngh2.Connection(role, ngh2.Configuration(auto_window_update=False))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self.transport = transport
        self.h2.initiate_connection({2: 0, 4: 1 << 20})
        self.flush()


async def calling(port: int, kind: type[Peer] = Peer) -> Peer:
    """A client, connected."""
    _, peer = await asyncio.get_running_loop().create_connection(lambda: kind(ngh2.Role.CLIENT), "127.0.0.1", port)
    await peer.wait(ngh2.SettingsReceived)
    return peer


@asynccontextmanager
async def answering(on_event: Callable[[Peer, Any], None], *first: type[Peer]) -> AsyncIterator[tuple[str, list[Peer]]]:
    """A server that does this on each event: its address, and its connections so far, the first of which are of these kinds."""
    peers: list[Peer] = []

    def accept() -> Peer:
        kind = first[len(peers)] if len(peers) < len(first) else Peer
        peers.append(peer := kind(ngh2.Role.SERVER, on_event))
        return peer

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", peers
    finally:
        server.close()
        for peer in peers:
            peer.transport.abort()


def on_request(act: Callable[[Peer, int], None]) -> Callable[[Peer, Any], None]:
    """Do this when the request of a call is whole."""

    def react(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived) and event.end_stream:
            act(peer, event.stream_id)

    return react


def answer(peer: Peer, stream: int, payload: bytes = b"ok", *more: tuple[bytes, bytes]) -> None:
    """A good unary answer."""
    peer.h2.send_response(stream, [*HEAD, *more])
    peer.h2.send_data(stream, message(payload))
    peer.h2.send_trailers(stream, [(b"grpc-status", b"0")])
