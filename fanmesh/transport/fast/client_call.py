"""A call as its caller's side knows it: what is sent, how its end is told, and who may end it early. And unary calls.

A unary call is one future, completed by the connection as frames arrive; the caller's task awaits that and nothing else. No
task, no timeout context and no timer belong to a call: its deadline is in the book of its channel.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.failures import TOLERANCE, no_time
from fanmesh.transport.fast import headers, mapping
from fanmesh.transport.fast.framing import BadMessage, Only
from fanmesh.transport.port import Metadata, Reply, RpcError

if TYPE_CHECKING:
    from fanmesh.transport.fast.channel import FastChannel
    from fanmesh.transport.fast.client_connection import ClientConnection
    from fanmesh.transport.fast.headers import Fields

_IDENTITY: Final = b"identity"


class ClientCall(ABC):
    """One call of `owner`. Raises RpcError for a timeout of nothing and for bad metadata."""

    __slots__ = (
        *("_moment", "connection", "deadline", "encoding", "fields", "looked_at", "owner", "path", "request", "stream"),
        "writable",
    )

    def __init__(self, owner: FastChannel, path: str, request: bytes | None, timeout: float | None, metadata: Metadata) -> None:
        if timeout is not None and timeout <= 0:
            raise no_time()
        try:
            self.fields: Fields = headers.encode(metadata) if metadata else ()
        except headers.BadMetadata as e:
            raise RpcError(Code.INTERNAL, str(e), sent=False) from None
        self.owner = owner
        self.path = path
        self.request = request
        """The only message of the request; None if `write` sends them."""
        self.writable = request is None
        """Whether its caller may still send."""
        self.encoding = _IDENTITY
        self.looked_at = False
        """Whether the peer has begun to answer."""
        self.connection: ClientConnection | None = None
        self.stream = 0
        self.deadline: int | None = None
        """When the caller's time is up, in ns of `now_ns`."""
        self._moment = 0  # at which it is in the book; 0: it is not
        if timeout is not None:
            self.deadline = deadline = now_ns() + int(timeout * SECOND)
            self._moment = owner.deadlines.set(self, deadline)
        owner.live.add(self)

    # ---------------------------------------------------------------- what the connection does with it

    def begin(self, connection: ClientConnection, stream: int) -> None:
        """It has a stream now."""
        self.connection = connection
        self.stream = stream

    def responded(self, fields: Fields, *, end: bool) -> None:
        """The response's first header block; with `end` it is all there is ("Trailers-Only")."""
        self.looked_at = True
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
            if not headers.is_grpc(kind):
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
        refused = error_code == mapping.REFUSED_STREAM
        if refused and not by_peer and self.connection is not None:  # it is above the last stream of a GOAWAY
            what = f"{self.connection.failure}, before this call"
        elif error_code == mapping.NO_ERROR or by_peer:
            what = f"the peer ended the stream: {mapping.name(error_code)}"
        else:
            what = f"the peer sent what HTTP/2 forbids: {mapping.name(error_code)}"
        ours = late and code is Code.DEADLINE_EXCEEDED
        self.fail(RpcError(code, what, sent=self.looked_at or not refused, local_deadline=ours))

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
        """It has ended: no deadline any more, and nothing that its channel would wait for."""
        if self._moment:
            self.owner.deadlines.drop(self, self._moment)
            self._moment = 0
        self.owner.over(self)

    def expire(self) -> None:
        """The caller's time is up."""
        unsent = self.unsent()
        self._moment = 0
        self.refuse(RpcError(Code.DEADLINE_EXCEEDED, "the deadline has passed", sent=not unsent, local_deadline=True))

    @abstractmethod
    def succeed(self, trailers: Metadata) -> None:
        """The good end."""

    @abstractmethod
    def fail(self, error: RpcError) -> None:
        """The bad end. The first one counts."""


class Answer(asyncio.Future[Reply]):
    """What a unary call will have answered. Cancelling it cancels the call at the peer, and not a turn of the loop later."""

    __slots__ = ("call",)

    call: UnaryCall | None
    """None once it has ended."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Nobody waits for the answer any more."""
        call = self.call
        if not super().cancel(msg):
            return False
        if call is not None:
            self.call = None
            call.leave()
        return True


class UnaryCall(ClientCall):
    """One answer, in `answer`."""

    __slots__ = ("_data", "answer")

    def __init__(self, owner: FastChannel, path: str, request: bytes, timeout: float | None, metadata: Metadata) -> None:
        super().__init__(owner, path, request, timeout, metadata)
        self._data = Only(owner.limit)
        self.answer = answer = Answer(loop=owner.loop)
        answer.call = self

    def received(self, data: bytes) -> None:
        """Part of the answer, which is kept until it is whole; its first bytes say whether it may be."""
        connection = self.connection
        if connection is not None:
            connection.acknowledge(len(data), self.stream)
        try:
            self._data.feed(data)
        except BadMessage as e:
            self.refuse(RpcError(e.code, e.message))

    def succeed(self, trailers: Metadata) -> None:
        """OK: the answer, if there is one."""
        self.done()
        answer = self.answer
        if answer.done():
            return
        try:
            payload = self._data.message(self.encoding)
        except BadMessage as e:
            self.fail(RpcError(e.code, e.message, trailers))
            return
        if payload is None:
            self.fail(RpcError(Code.INTERNAL, "OK without an answer", trailers))
            return
        answer.call = None
        answer.set_result(Reply(payload, trailers))

    def fail(self, error: RpcError) -> None:
        """Another status, or none."""
        self.done()
        answer = self.answer
        if not answer.done():
            answer.call = None
            answer.set_exception(error)
