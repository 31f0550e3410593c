"""What Fanmesh asks of a transport: calls and handlers in bytes, nothing else.

A port and not grpc.aio itself, because the RPC library is the largest cost of a call and has been replaced in trials; whoever
is above this line cannot tell which one runs. Bytes and not messages, because the caller knows best what to keep serialised:
a fan-out sends the same input to many workers and serialises it once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from ssl import SSLContext
from typing import NamedTuple, Protocol, TypeAlias

from google.protobuf.message import Message

from fanmesh.model.fault import Code

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Lower-case keys; values are ASCII text, or bytes under keys that end in `-bin`."""

MIB = 1024 * 1024


class Reply(NamedTuple):
    """The answer of a unary call."""

    payload: bytes
    trailers: Metadata


class RpcError(Exception):
    """A call that ended with another status than OK.

    `sent` is False only if the request certainly never left this process (no connection). `local_deadline`: the timeout
    passed on this side; a DEADLINE_EXCEEDED without it is the peer's own answer.
    """

    def __init__(
        self, code: Code, message: str = "", trailers: Metadata = (), *, sent: bool = True, local_deadline: bool = False
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.trailers = trailers
        self.sent = sent
        self.local_deadline = local_deadline

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name


class Stream(Protocol):
    """The answers of a server-streaming call: an async iterator that raises RpcError if the stream ends badly."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        ...

    async def __anext__(self) -> bytes:
        """The next message. Being cancelled here cancels nothing on the wire: `aclose` does."""
        ...

    @property
    def headers(self) -> Metadata:
        """Initial metadata; empty before the first message."""
        ...

    @property
    def trailers(self) -> Metadata:
        """Trailing metadata; empty before the end."""
        ...

    async def aclose(self) -> None:
        """Cancel the call at the peer if it still runs, and free it. Must be awaited on every path."""
        ...


class Duplex(Protocol):
    """A bidirectional call. One writer and one reader at a time; whoever opened it half-closes it."""

    async def write(self, message: bytes) -> None:
        """Send one message; returns when the transport has taken it. RpcError if the call has ended.

        A cancelled write stays on its way, and the next one waits for it: only `aclose` ends a call.
        """
        ...

    async def half_close(self) -> None:
        """Nothing more will be written. May be repeated; does nothing once the call has ended."""
        ...

    async def read(self) -> bytes | None:
        """The next message, or None at the good end of the call. RpcError at a bad one."""
        ...

    @property
    def headers(self) -> Metadata:
        """Initial metadata; empty before the first message."""
        ...

    @property
    def trailers(self) -> Metadata:
        """Trailing metadata; empty before the end."""
        ...

    async def aclose(self) -> None:
        """Cancel the call at the peer if it still runs, and free it. Must be awaited on every path."""
        ...


class Channel(Protocol):
    """One address, one connection, made when first needed and again when lost."""

    address: str

    def ready(self) -> bool:
        """Whether a call made now has a chance: connected, or never yet tried."""
        ...

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109  (the limit of a probe, not of a block)
        """Connect; whether it succeeded within `timeout` seconds."""
        ...

    def unary(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> Awaitable[Reply]:
        """One request, one answer. `path` is `/package.Service/Method`, `timeout` is in seconds and reaches the peer.

        To be awaited, once, or given to `asyncio.gather`, at once: whether the call begins now or then is the transport's
        affair. Cancelling whoever awaits it cancels the call at the peer. Awaiting it raises RpcError.
        """
        ...

    def stream(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> Stream:
        """One request, many answers. The call begins now; the caller owes it an `aclose`."""
        ...

    def duplex(self, path: str, *, timeout: float | None = None, metadata: Metadata = ()) -> Duplex:
        """Many requests, many answers. The call begins now; the caller owes it an `aclose`."""
        ...

    async def close(self, grace: float = 0.0) -> None:
        """Let calls in flight end for up to `grace` seconds, then cancel them."""
        ...


class StatusError(Exception):
    """Raised by a handler to end its call with a status.

    `details` are packed into `grpc-status-details-bin`; `trailers` are sent beside them.
    """

    def __init__(self, code: Code, message: str = "", *, trailers: Metadata = (), details: Sequence[Message] = ()) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.trailers = trailers
        self.details = details


class ServerCall(Protocol):
    """What a handler knows of its call. A call whose caller has gone is cancelled through the handler's task."""

    @property
    def metadata(self) -> Metadata:
        """What the caller sent."""
        ...

    @property
    def peer(self) -> str:
        """Who the caller is, for logs, e.g. `ipv4:127.0.0.1:4711`."""
        ...

    def header(self, key: str) -> str:
        """The first text value under `key`, or the empty string."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline, ≥ 0; None if it set none."""
        ...

    def set_trailers(self, trailers: Metadata) -> None:
        """Trailing metadata of an OK answer. The last call wins."""
        ...

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop when the call has ended, however it did."""
        ...

    async def send_headers(self, metadata: Metadata) -> None:
        """Send initial metadata, once and before any answer. Calls without any need not ask for it."""
        ...

    async def write(self, message: bytes) -> None:
        """Send one message of a streamed answer; returns when the transport has taken it (back-pressure)."""
        ...


UnaryHandler: TypeAlias = Callable[[bytes, ServerCall], Awaitable[bytes]]
StreamHandler: TypeAlias = Callable[[bytes, ServerCall], AsyncIterator[bytes]]
DuplexHandler: TypeAlias = Callable[[AsyncIterator[bytes], ServerCall], Awaitable[None]]
"""Answers with `call.write`; returning ends the call."""


@dataclass(frozen=True, slots=True)
class Routes:
    """What a server answers, by path (`/package.Service/Method`)."""

    unary: Mapping[str, UnaryHandler] = field(default_factory=dict)
    stream: Mapping[str, StreamHandler] = field(default_factory=dict)
    duplex: Mapping[str, DuplexHandler] = field(default_factory=dict)

    def services(self) -> tuple[str, ...]:
        """The services that own the paths, sorted."""
        paths: Iterable[str] = (*self.unary, *self.stream, *self.duplex)
        return tuple(sorted({path.split("/")[1] for path in paths}))


@unique
class Compression(Enum):
    """What is done to messages on their way out. What comes in is understood either way. The values are the configuration's."""

    NONE = "none"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """How a channel behaves. Times in seconds, sizes in bytes. `spread`: calls go to all addresses of a name in turn.

    `window`: what a peer may send ahead in one call before it is read here; None = the library's own, which grows with the
    speed of the line to megabytes, for each of many calls. A message that is waited for is let in whole, however large.
    `tls` encrypts, and says whom to trust and who we are (mTLS); the fast transport only, which sets its ALPN.
    `compression` of the requests: the peer must understand it, since nobody asks it before. A message that would not get
    smaller goes as it is.
    """

    receive_limit: int = 16 * MIB
    window: int | None = 256 * 1024
    connect_timeout: float = 2.0
    reconnect_initial: float = 0.1
    reconnect_max: float = 2.0
    keepalive_every: float = 10.0
    keepalive_timeout: float = 2.0
    spread: bool = False
    tls: SSLContext | None = None
    compression: Compression = Compression.NONE


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves. Sizes in bytes. `reuse_port` lets several processes share one port.

    `connection_age`: seconds after which a connection takes no new calls and is closed when its last one has ended (±10 %, so
    that not all are closed at once); None = never. `window`: as for a channel. `tls` is the server's certificate and, if
    callers must show theirs (mTLS), whom it trusts; the fast transport only, which sets its ALPN. `compression` of the answers:
    over the fast transport for callers that say that they understand it; gRPC's core takes that for granted.
    """

    receive_limit: int = 16 * MIB
    window: int | None = None
    reuse_port: bool = False
    connection_age: float | None = None
    tls: SSLContext | None = None
    compression: Compression = Compression.NONE


class Server(Protocol):
    """A listening server with gRPC health and reflection beside its routes."""

    port: int

    async def start(self) -> None:
        """Accept calls."""
        ...

    async def set_serving(self, service: str, serving: bool) -> None:  # noqa: FBT001  (reads as a sentence)
        """What health says of `service`; the empty name is the whole server."""
        ...

    async def stop(self, grace: float = 0.0, announce: float = 0.0) -> None:
        """Say NOT_SERVING, `announce` seconds later take no new calls, let those that run end for `grace`, cancel the rest."""
        ...


class Transport(Protocol):
    """Makes channels and servers. Both belong to the event loop that runs when they are made."""

    def connect(self, address: str, options: ChannelOptions = ...) -> Channel:
        """A channel to `address` (`host:port` or `unix:path`). Connects when first used."""
        ...

    def server(self, listen: str, routes: Routes, *, names: Sequence[str] = (), options: ServerOptions = ...) -> Server:
        """A server bound to `listen` (`host:port`; port 0 = a free one, see `Server.port`).

        `names` are further services that health knows (reflection lists those of `routes`). OSError if the address is
        taken.
        """
        ...
