"""A call as its caller's side knows it: what is sent, how its end is told, and who may end it early. And unary calls.

A unary call is one future, completed by the connection as frames arrive; the caller's task awaits that and nothing else. No
task and no timeout context belong to a call: its deadline is one timer, which is due far less often than it is set.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.failures import TOLERANCE, no_time
from fanmesh.transport.fast import headers, mapping
from fanmesh.transport.fast.alarm import Alarm
from fanmesh.transport.fast.framing import BadMessage, Only
from fanmesh.transport.port import Metadata, Reply, RpcError

if TYPE_CHECKING:
    from fanmesh.transport.fast.client_connection import ClientConnection
    from fanmesh.transport.fast.headers import Fields

_IDENTITY: Final = b"identity"


class ClientCall(ABC):
    """One call. `limit`: the most bytes of a message. Raises RpcError for a timeout of nothing and for bad metadata."""

    __slots__ = ("_timer", "connection", "deadline", "encoding", "fields", "limit", "path", "request", "stream", "writable")

    def __init__(self, path: str, request: bytes | None, timeout: float | None, metadata: Metadata, limit: int) -> None:
        if timeout is not None and timeout <= 0:
            raise no_time()
        try:
            self.fields: Fields = headers.encode(metadata) if metadata else ()
        except headers.BadMetadata as e:
            raise RpcError(Code.INTERNAL, str(e), sent=False) from None
        self.path = path
        self.request = request
        """The only message of the request; None if `write` sends them."""
        self.writable = request is None
        """Whether its caller may still send."""
        self.limit = limit
        self.encoding = _IDENTITY
        self.connection: ClientConnection | None = None
        self.stream = 0
        self._timer: Alarm | None = None
        self.deadline: int | None = None
        """When the caller's time is up, in ns of `now_ns`."""
        if timeout is not None:
            wait = int(timeout * SECOND)
            self.deadline = now_ns() + wait
            self._timer = Alarm(asyncio.get_running_loop(), self.deadline, wait, self._expire)

    # ---------------------------------------------------------------- what the connection does with it

    def begin(self, connection: ClientConnection, stream: int) -> None:
        """It has a stream now."""
        self.connection = connection
        self.stream = stream

    def responded(self, fields: Fields, *, end: bool) -> None:
        """The response's first header block; with `end` it is all there is ("Trailers-Only")."""
        connection = self.connection
        if not end and connection is not None and fields == connection.usual:
            self.encoding = connection.usual_encoding
            return
        known = dict(fields)
        if b"grpc-status" not in known:
            status, kind = known.get(b":status", b""), known.get(b"content-type", b"")
            if status != b"200":
                self.refuse(
                    RpcError(mapping.of_http(status), f"HTTP status {status.decode('latin-1')} in the place of a gRPC one")
                )
                return
            if not kind.startswith(b"application/grpc"):
                self.refuse(RpcError(Code.UNKNOWN, f"an answer of type {kind.decode('latin-1')!r} and not application/grpc"))
                return
        self.encoding = known.get(b"grpc-encoding", _IDENTITY)
        if end:
            self.ended(fields)
        elif connection is not None:
            connection.usual, connection.usual_encoding = fields, self.encoding

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Part of a message."""

    def ended(self, fields: Fields) -> None:
        """The trailers: how the peer says that it ended."""
        connection = self.connection
        if connection is not None and fields == connection.usual_end:
            self.succeed(())
            return
        known = dict(fields)
        metadata = headers.decode(fields)
        status = known.get(b"grpc-status")
        code = Code.UNKNOWN if status is None else mapping.of_field(status)
        if code is Code.OK:
            if not metadata and connection is not None and b":status" not in known:
                connection.usual_end = fields
            self.succeed(metadata)
            return
        message = (
            headers.percent_decode(known.get(b"grpc-message", b"")) if status else "the peer's trailers have no grpc-status"
        )
        self.fail(RpcError(code, message, metadata, local_deadline=code is Code.DEADLINE_EXCEEDED and self.late()))

    def aborted(self, error_code: int, local: Exception | None, *, by_peer: bool) -> None:
        """The stream is closed and there were no trailers. `by_peer`: its peer has reset it; else our engine has, or nobody."""
        if local is not None:
            code = Code.UNAVAILABLE if error_code == mapping.REFUSED_STREAM else Code.INTERNAL
            self.fail(RpcError(code, f"the call cannot be sent: {local}", sent=False))
            return
        late = self.late()
        code = mapping.of_reset(error_code, late=late)
        ours = error_code != mapping.NO_ERROR and not by_peer
        what = "the peer sent what HTTP/2 forbids" if ours else "the peer ended the stream"
        self.fail(
            RpcError(
                code,
                f"{what}: {mapping.name(error_code)}",
                sent=error_code != mapping.REFUSED_STREAM,
                local_deadline=late and code is Code.DEADLINE_EXCEEDED,
            )
        )

    def lost(self, why: str) -> None:
        """The connection is gone."""
        self.fail(RpcError(Code.UNAVAILABLE, why, sent=not self.unsent()))

    def acknowledge(self, size: int) -> None:
        """So many bytes have been consumed."""
        if self.connection is not None:
            self.connection.acknowledge(size, self.stream)

    # ---------------------------------------------------------------- how it ends

    def late(self) -> bool:
        """Whether the caller's time is up, but for what timers round."""
        return self.deadline is not None and now_ns() >= self.deadline - TOLERANCE

    def unsent(self) -> bool:
        """Whether certainly nothing of it has left this process."""
        return self.connection is None or self.connection.unsent(self.stream)

    def refuse(self, error: RpcError) -> None:
        """End it with this error, and tell the peer to stop."""
        self.leave()
        self.fail(error)

    def leave(self) -> None:
        """Nobody waits for it any more: cancel it at the peer, if it has one."""
        self.done()
        if self.connection is not None:
            self.connection.abandon(self)

    def done(self) -> None:
        """No deadline any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        unsent = self.unsent()
        self._timer = None
        self.refuse(RpcError(Code.DEADLINE_EXCEEDED, "the deadline has passed", sent=not unsent, local_deadline=True))

    @abstractmethod
    def succeed(self, trailers: Metadata) -> None:
        """The good end."""

    @abstractmethod
    def fail(self, error: RpcError) -> None:
        """The bad end. The first one counts."""


class UnaryCall(ClientCall):
    """One answer, in `answer`."""

    __slots__ = ("_data", "answer")

    def __init__(self, path: str, request: bytes, timeout: float | None, metadata: Metadata, limit: int) -> None:
        super().__init__(path, request, timeout, metadata, limit)
        self._data = Only(limit)
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes) -> None:
        """Part of the answer, which is kept until it is whole; its first bytes say whether it may be."""
        self.acknowledge(len(data))
        try:
            self._data.feed(data)
        except BadMessage as e:
            self.refuse(RpcError(e.code, e.message))

    def succeed(self, trailers: Metadata) -> None:
        """OK: the answer, if there is one."""
        self.done()
        if self.answer.done():
            return
        try:
            payload = self._data.message(self.encoding)
        except BadMessage as e:
            self.fail(RpcError(e.code, e.message, trailers))
            return
        if payload is None:
            self.fail(RpcError(Code.INTERNAL, "OK without an answer", trailers))
            return
        self.answer.set_result(Reply(payload, trailers))

    def fail(self, error: RpcError) -> None:
        """Another status, or none."""
        self.done()
        if not self.answer.done():
            self.answer.set_exception(error)
