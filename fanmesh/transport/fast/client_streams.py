"""Streaming calls as their callers have them: reading, writing, and ending them early.

Messages that have come are read before the status, also a bad one: what a peer said before it broke is still what it said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fanmesh.model.fault import Code
from fanmesh.transport.fast import headers
from fanmesh.transport.fast.client_call import ClientCall
from fanmesh.transport.fast.framing import BadMessage
from fanmesh.transport.fast.inbound import Inbound
from fanmesh.transport.port import Metadata, RpcError

if TYPE_CHECKING:
    from fanmesh.transport.fast.channel import FastChannel
    from fanmesh.transport.fast.client_connection import ClientConnection
    from fanmesh.transport.fast.headers import Fields


class Reading(ClientCall):
    """The receiving half of a call."""

    __slots__ = ("_end", "_failure", "_inbound", "_initial", "_read", "_trailers")

    def __init__(self, owner: FastChannel, path: str, request: bytes | None, timeout: float | None, metadata: Metadata) -> None:
        super().__init__(owner, path, request, timeout, metadata)
        self._inbound = Inbound(owner.limit, self.acknowledge)
        self._initial: Fields = ()
        self._end: tuple[RpcError | None, Metadata] | None = None  # how the peer ended it, for whoever has read all
        self._failure: RpcError | None = None
        self._read = False
        self._trailers: Metadata = ()

    # ---------------------------------------------------------------- what the connection does with it

    def responded(self, fields: Fields, *, end: bool) -> None:
        """The header block is kept, for those who ask for initial metadata."""
        super().responded(fields, end=end)
        if not end:
            self._initial = fields
        self._inbound.encoded(self.encoding)

    def received(self, data: bytes) -> None:
        """Part of the stream."""
        self._inbound.feed(data)

    def succeed(self, trailers: Metadata) -> None:
        """The good end."""
        self._ended(None, trailers)

    def fail(self, error: RpcError) -> None:
        """The bad end."""
        self._ended(error, error.trailers)

    def _ended(self, error: RpcError | None, trailers: Metadata) -> None:
        self.done()
        self.writable = False
        if self._end is None:
            self._end = error, trailers
        self._inbound.end()

    # ---------------------------------------------------------------- what the caller does with it

    @property
    def headers(self) -> Metadata:
        """Initial metadata; empty before the first message."""
        return headers.decode(self._initial)

    @property
    def trailers(self) -> Metadata:
        """Trailing metadata; empty before the end."""
        return self._trailers

    async def read(self) -> bytes | None:
        """The next message, None at the good end; a bad end is the same RpcError each time."""
        if self._failure is not None:
            raise self._failure
        if self._read:
            return None
        try:
            message = await self._inbound.take()
        except BadMessage as e:
            self._end = None
            self.refuse(RpcError(e.code, e.message))
            self._inbound.drop()
            message = None
        if message is not None:
            return message
        error, self._trailers = self._end or (None, ())
        if error is not None:
            self._failure = error
            raise error
        self._read = True
        return None

    async def aclose(self) -> None:
        """Cancel the call if it still runs, and forget what is unread."""
        if self._end is None:
            self.leave()
            self._ended(RpcError(Code.CANCELLED, "cancelled by the caller"), ())
        self._inbound.drop()


class FastStream(Reading):
    """A server-streaming call."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message = await self.read()
        if message is None:
            raise StopAsyncIteration
        return message


class FastDuplex(FastStream):
    """A bidirectional call."""

    __slots__ = ("_begun",)

    def __init__(self, owner: FastChannel, path: str, request: bytes | None, timeout: float | None, metadata: Metadata) -> None:
        super().__init__(owner, path, request, timeout, metadata)
        self._begun: asyncio.Future[None] | None = None

    def begin(self, connection: ClientConnection, stream: int) -> None:
        """It has a stream now; writers may go on."""
        super().begin(connection, stream)
        self._tell()

    def _ended(self, error: RpcError | None, trailers: Metadata) -> None:
        super()._ended(error, trailers)
        self._tell()

    def _tell(self) -> None:
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(None)

    async def write(self, message: bytes) -> None:
        """Send one message. Returns when less than a window of the stream waits; RpcError if the call has ended."""
        connection = await self._room()
        if not self.writable or connection is None:
            raise self._refusal()
        stream = self.stream
        connection.send(stream, message, gzip=connection.gzip)
        connection.schedule()
        if connection.full(stream):
            await connection.room(stream)

    async def half_close(self) -> None:
        """Nothing more will be written."""
        connection = await self._room()
        if self.writable and connection is not None:
            self.writable = False
            connection.h2.end_stream(self.stream)
            connection.schedule()

    async def _room(self) -> ClientConnection | None:
        """The connection, once it takes more of this call; None if the call has ended before it had one."""
        while self.connection is None and self._end is None:
            if self._begun is None or self._begun.done():
                self._begun = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._begun)
        connection = self.connection
        while connection is not None and self.writable and connection.full(self.stream):
            await connection.room(self.stream)
        return connection

    def _refusal(self) -> RpcError:
        """Why nothing more is taken."""
        if self._end is None:
            return RpcError(Code.FAILED_PRECONDITION, "the call is half-closed")
        error, trailers = self._end
        return RpcError(Code.FAILED_PRECONDITION, "the call has ended", trailers) if error is None else error
