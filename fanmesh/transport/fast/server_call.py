"""A call as its server knows it: the ServerCall that the handler has, and how its answer is written.

The handler runs in a task: it may wait, and a caller that goes away must be able to end it. Everything else is callbacks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum, unique
from typing import TYPE_CHECKING, Any, Final

import ngh2

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import now_ns
from fanmesh.transport import status
from fanmesh.transport.fast import headers
from fanmesh.transport.fast.defences import MAX_FIELDS
from fanmesh.transport.fast.framing import BadMessage, Only
from fanmesh.transport.fast.inbound import Inbound
from fanmesh.transport.port import Metadata, RpcError, StatusError

if TYPE_CHECKING:
    from fanmesh.transport.fast.server_connection import ServerConnection

_log: Final = logging.getLogger(__name__)

_HEAD: Final = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity,gzip")]
_GZIP_HEAD: Final = [*_HEAD, (b"grpc-encoding", b"gzip")]
_OK: Final = [(b"grpc-status", b"0")]


@unique
class Kind(Enum):
    """What a method takes and gives."""

    UNARY = "one message, one answer"
    STREAM = "one message, many answers"
    DUPLEX = "many messages, many answers"


class Call:
    """One call. `quiet`: a call that never ends by itself, and for which no stop waits (health, reflection)."""

    __slots__ = (
        *("_callbacks", "_connection", "_data", "_deadline", "_encoding", "_finished", "_gzip", "_handler", "_kind"),
        *("_limit", "_metadata", "_moment", "_path", "_received", "_requests", "_stream", "_task", "_trailers"),
        *("begun", "fields", "quiet"),
    )

    def __init__(
        self,
        connection: ServerConnection,
        stream: int,
        fields: headers.Fields,
        path: str,
        kind: Kind,
        handler: Any,
        *,
        quiet: bool,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self.fields = fields
        self._path = path
        self._kind = kind
        self._handler = handler
        self.quiet = quiet
        self._limit = connection.limit
        self._gzip = connection.gzip and headers.accepts_gzip(fields)  # whether the answer is compressed
        self._metadata: Metadata | None = None
        self._trailers: Metadata = ()
        self._callbacks: list[Callable[[], None]] | None = []  # None: it has ended
        self._data = Only(connection.limit)
        self._encoding = b"identity"
        self._requests: Inbound | None = None
        self._received = False  # the whole request
        self.begun = False
        """Whether the answer's headers are out, and its end will follow them."""
        self._finished = False  # the answer's trailers are out, or nobody wants them
        self._task: asyncio.Task[None] | None = None
        self._deadline: int | None = None
        self._moment = 0  # at which it is in the book of deadlines; 0: it is not
        if not quiet:
            connection.running.enter()

    # ---------------------------------------------------------------- what the handler has

    @property
    def metadata(self) -> Metadata:
        """What the caller sent."""
        if self._metadata is None:
            self._metadata = headers.decode(self.fields)
        return self._metadata

    @property
    def peer(self) -> str:
        """Who the caller is."""
        return self._connection.peer

    def header(self, key: str) -> str:
        """The first text value under `key`, or the empty string."""
        name = key.encode()
        if name.endswith(b"-bin"):
            return ""
        return next((value.decode("latin-1") for field, value in self.fields if field == name), "")

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None if it set none."""
        return None if self._deadline is None else max(0, self._deadline - now_ns()) / SECOND

    def set_trailers(self, trailers: Metadata) -> None:
        """Trailing metadata of an OK answer."""
        self._trailers = trailers

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the call has ended; soon, if it has."""
        if self._callbacks is None:
            self._connection.loop.call_soon(self._tell, callback)
        else:
            self._callbacks.append(callback)

    async def send_headers(self, metadata: Metadata) -> None:
        """Send initial metadata. BadMetadata for what cannot be sent; RuntimeError if the answer has begun."""
        if self.begun:
            raise RuntimeError("initial metadata after the answer has begun")
        block = [*(_GZIP_HEAD if self._gzip else _HEAD), *headers.encode(metadata)]
        if self._finished:
            raise RpcError(Code.CANCELLED, "the call has ended")
        if not headers.fits(block, self._connection.peer_headers):
            raise headers.BadMetadata(f"initial metadata {self._over()}")
        self._connection.h2.send_response(self._stream, block)
        self.begun = True
        self._connection.schedule()

    async def write(self, message: bytes) -> None:
        """Send one message of a streamed answer. Waits while much is on its way. RpcError if the call has ended."""
        connection, stream = self._connection, self._stream
        while not self._finished and connection.full(stream):
            await connection.room(stream)
        if self._finished:
            raise RpcError(Code.CANCELLED, "the call has ended")
        self._open()
        connection.send(stream, message, gzip=self._gzip)
        connection.schedule()
        while not self._finished and connection.full(stream):
            await connection.room(stream)

    # ---------------------------------------------------------------- what the connection does with it

    def begin(self, timeout: int | None, encoding: bytes, *, end: bool) -> None:
        """The request's headers are read. `timeout` in ns."""
        self._encoding = encoding
        if timeout is not None:
            self._deadline = deadline = now_ns() + timeout
            self._moment = self._connection.deadlines.set(self, deadline)
        if self._kind is Kind.DUPLEX:
            self._requests = Inbound(self._limit, self._acknowledge)
            self._requests.encoded(encoding)
            self._task = self._connection.loop.create_task(self._answer(self._converse(self._requests)))
        if end:
            self.end()

    def received(self, data: bytes) -> None:
        """Part of the request."""
        if self._requests is not None:
            self._requests.feed(data)
            return
        self._acknowledge(len(data))
        if self._finished:
            return
        try:
            self._data.feed(data)
        except BadMessage as e:
            self.fail(e.code, e.message)

    def end(self) -> None:
        """The request is whole."""
        self._received = True
        if self._requests is not None:
            self._requests.end()
            return
        if self._finished:
            return
        try:
            request = self._data.message(self._encoding)
        except BadMessage as e:
            self.fail(e.code, e.message)
            return
        self._data.drop()
        if request is None:
            self.fail(Code.INTERNAL, "a call without a request")
            return
        running = self._reply(request) if self._kind is Kind.UNARY else self._answer(self._pump(request))
        self._task = self._connection.loop.create_task(running)

    def closed(self) -> None:
        """The stream is gone: answered, reset by its caller, or with the connection."""
        self._finished = True
        self._undue()
        if self._requests is not None:
            self._requests.drop()
        self._cancel()
        if not self.quiet:
            self._connection.running.leave()
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            self._tell(callback)

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001  (one callback must not keep the others from theirs)
            _log.exception("%s: what was to be done at the end of the call failed", self._path)

    def stop(self) -> None:
        """The server stops: cancel the handler, and tell the caller, who may go elsewhere."""
        self._cancel()
        self.fail(Code.UNAVAILABLE, "the server has stopped")

    def _cancel(self) -> None:
        """Cancel the handler, if it runs: once, since the next cancellation would end what it does at its end."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _undue(self) -> None:
        """No deadline any more."""
        if self._moment:
            self._connection.deadlines.drop(self, self._moment)
            self._moment = 0

    def expire(self) -> None:
        """The caller's time is up."""
        self._moment = 0
        self._cancel()
        self.fail(Code.DEADLINE_EXCEEDED, "the caller's deadline has passed")

    def _acknowledge(self, size: int) -> None:
        self._connection.acknowledge(size, self._stream)

    # ---------------------------------------------------------------- running the handler

    async def _reply(self, request: bytes) -> None:
        """Run a unary handler."""
        try:
            payload = await self._handler(request, self)
            if not self._finished:
                self._open()
                self._connection.send(self._stream, payload, gzip=self._gzip)
                self._succeed()
        except BaseException as e:  # noqa: BLE001  (whatever a handler does and gives, its caller gets a status)
            self._stumbled(e)

    async def _answer(self, answering: Callable[[], Awaitable[None]]) -> None:
        """Run a handler that streams."""
        try:
            await answering()
            if not self._finished:
                self._open()
                self._succeed()
        except BaseException as e:  # noqa: BLE001  (same)
            self._stumbled(e)

    def _converse(self, requests: Inbound) -> Callable[[], Awaitable[None]]:
        async def conversing() -> None:
            await self._handler(Requests(requests), self)

        return conversing

    def _pump(self, request: bytes) -> Callable[[], Awaitable[None]]:
        async def pumping() -> None:
            parts = self._handler(request, self)
            try:
                async for part in parts:
                    await self.write(part)
            finally:
                if (close := getattr(parts, "aclose", None)) is not None:
                    await close()

        return pumping

    def _stumbled(self, error: BaseException) -> None:
        """The handler raised: the status it asked for, or INTERNAL and no more than its type."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            self.fail(Code.UNAVAILABLE, "the server has stopped")
            raise error
        if self._finished:
            return  # nobody is there to be told, and what failed was most likely a write to nobody
        if isinstance(error, StatusError):
            message = status.clip(error.message)
            self.fail(error.code, message, status.trailers(error.code, message, error.details, error.trailers))
        elif isinstance(error, BadMessage):
            self.fail(error.code, error.message)
        elif isinstance(error, asyncio.CancelledError):
            _log.error("%s ended in a cancellation of its own", self._path, exc_info=error)
            self.fail(Code.INTERNAL, "the handler was cancelled from inside")
        elif isinstance(error, Exception):
            _log.error("%s failed", self._path, exc_info=error)
            self.fail(Code.INTERNAL, type(error).__name__)
        else:
            raise error

    # ---------------------------------------------------------------- the answer

    def _open(self) -> None:
        """Its first header block, unless that is out."""
        if not self.begun:
            self._connection.h2.send_response(self._stream, _GZIP_HEAD if self._gzip else _HEAD)
            self.begun = True

    def _succeed(self) -> None:
        if not self._trailers:
            self._finish(_OK)
            return
        try:
            fields = [*_OK, *headers.encode(self._trailers)]
        except headers.BadMetadata as e:
            _log.error("%s: trailers that cannot be sent: %s", self._path, e)
            fields = [(b"grpc-status", b"%d" % Code.INTERNAL), (b"grpc-message", headers.percent_encode(str(e)))]
        if not headers.fits(fields, self._connection.peer_headers):
            fields = [(b"grpc-status", b"%d" % Code.RESOURCE_EXHAUSTED), (b"grpc-message", f"trailers {self._over()}".encode())]
        self._finish(fields)

    def _over(self) -> str:
        """Of a header list that does not fit."""
        return f"over the {self._connection.peer_headers} bytes or {MAX_FIELDS} fields that the caller takes"

    def fail(self, code: Code, message: str, trailers: Metadata = ()) -> None:
        """End the call with a status, unless it has ended."""
        if self._finished:
            return
        end = [(b"grpc-status", b"%d" % code), (b"grpc-message", headers.percent_encode(message))]
        try:
            more = headers.encode(trailers)
        except Exception as e:  # noqa: BLE001  (whatever the handler gave, its caller gets the status)
            _log.error("%s: trailers that cannot be sent: %s", self._path, e)
            more = []
        limit = self._connection.peer_headers
        if more and headers.fits([*_HEAD, *end, *more], limit):
            end += more
        elif not headers.fits([*_HEAD, *end], limit):
            end = end[:1]
        self._finish(end)

    def _finish(self, fields: list[tuple[bytes, bytes]]) -> None:
        """The last header block."""
        self._finished = True
        self._undue()
        self._data.drop()
        connection, stream = self._connection, self._stream
        if connection.closed:
            return
        try:
            if self.begun:
                connection.h2.send_trailers(stream, fields)
            else:
                connection.h2.send_response(stream, [*_HEAD, *fields], end_stream=True)
        except ngh2.NGH2Error:
            return  # reset in this very turn, or the connection is at its end
        connection.finishing(stream, self, received=self._received)
        connection.schedule()


class Requests:
    """The messages of a caller that streams."""

    __slots__ = ("_inbound",)

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message = await self._inbound.take()
        if message is None:
            raise StopAsyncIteration
        return message
