"""Streaming calls of grpc.aio behind the port.

Every read and write runs in a task of its own, under a shield: a reader that is cancelled in the middle of a read would leak,
and would cancel the whole call although somebody may only have stopped waiting. The task costs 6 µs, the read itself fifteen
times that.

A write that fails says only that the peer takes nothing more. How the call ended is for the reader to say, after the messages
that are still on their way; grpc's own `write` would put INTERNAL in the place of the peer's status and drop those messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, Protocol

import grpc
from grpc.aio import EOF, AioRpcError, BaseError, InternalError

from fanmesh.model.fault import Code
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.cancel import drain, give_up, measured
from fanmesh.transport.failures import cut_off, failure, late, unusable
from fanmesh.transport.port import Metadata, RpcError


class Owner(Protocol):
    """The channel, as its streams know it."""

    address: str
    live: set[Any]
    closed: bool

    def connected(self) -> bool:
        """Whether there is a connection now."""
        ...


class Reading:
    """The receiving half of a call."""

    def __init__(self, owner: Owner, call: Any, timeout: float | None) -> None:
        self._owner = owner
        self._call = call
        self._timeout = timeout
        self._started = now_ns()
        self._reading: asyncio.Task[Any] | None = None
        self._writing: asyncio.Task[Any] | None = None
        self._ended = False
        self._failure: RpcError | None = None
        self._headers: Metadata | None = None
        self._trailers: Metadata = ()
        owner.live.add(call)

    @property
    def headers(self) -> Metadata:
        """Initial metadata; empty before the first message."""
        return self._headers or ()

    @property
    def trailers(self) -> Metadata:
        """Trailing metadata; empty before the end."""
        return self._trailers

    async def read(self) -> bytes | None:
        """The next message, None at the good end; a bad end is the same RpcError each time.

        A cancelled read loses nothing: the next one takes up where it was.
        """
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        try:
            message = await self._guard(self._reading)
        except RpcError as error:
            self._failure = error
            self._end()
            raise
        self._reading = None
        if message is EOF:
            self._trailers = tuple(await self._call.trailing_metadata())
            self._end()
            return None
        if self._headers is None:  # they precede the first message, so this waits for nothing
            self._headers = tuple(await self._call.initial_metadata())
        received: bytes = message
        return received

    async def _guard(self, task: asyncio.Task[Any]) -> Any:
        """The result of `task`; its failure as RpcError."""
        try:
            return await asyncio.shield(task)
        except AioRpcError as e:
            self._trailers = tuple(e.trailing_metadata() or ())
            error = self._error(e.code().value[0], e.details() or "")
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # it is we who were cancelled
            error = cut_off(self._owner.address) if self._owner.closed else RpcError(Code.CANCELLED, "closed on this side")
        except asyncio.InvalidStateError:  # a write that is no longer possible
            error = await self._status()
        except BaseError as e:
            error = unusable(e)
        raise error from None

    def _error(self, code: int, message: str) -> RpcError:
        return failure(
            code,
            message,
            self._trailers,
            address=self._owner.address,
            connected=self._owner.connected(),
            late=late(now_ns() - self._started, self._timeout),
        )

    async def _status(self) -> RpcError:
        """Why nothing more can be written. A status that is not known yet is not waited for: it comes after unread messages."""
        if not self._call.done():
            return RpcError(Code.UNAVAILABLE, "the peer takes nothing more; reading on says how the call ended")
        code = await self._call.code()
        self._trailers = tuple(await self._call.trailing_metadata() or ())
        if code is grpc.StatusCode.OK:
            return RpcError(Code.FAILED_PRECONDITION, "the call has ended", self._trailers)
        return self._error(code.value[0], await self._call.details() or "")

    def _end(self) -> None:
        self._ended = True
        self._owner.live.discard(self._call)

    async def aclose(self) -> None:
        """Cancel the call if it still runs, and see its tasks to their end."""
        self._end()
        call = self._call
        tasks = [task for task in (self._reading, self._writing, call._preparation) if task is not None]  # noqa: SLF001
        try:
            await (drain(tasks) if call.done() else give_up(call, tasks))
        finally:
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.exception()  # seen, so that the loop does not report it


class GrpcStream(Reading):
    """A server-streaming call."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message = await self.read()
        if message is None:
            raise StopAsyncIteration
        return message


class GrpcDuplex(Reading):
    """A bidirectional call."""

    async def write(self, message: bytes) -> None:
        """Send one message. RpcError if the call has ended. A cancelled write stays on its way; the next one waits for it."""
        await self._send(write(self._call, message))

    async def half_close(self) -> None:
        """Nothing more will be written."""
        if not self._call.done():
            await self._send(self._call.done_writing())

    async def _send(self, sending: Coroutine[Any, Any, None]) -> None:
        if self._writing is not None:  # one whose writer was cancelled; grpc allows one at a time
            try:
                await asyncio.wait((self._writing,))
            except asyncio.CancelledError:
                sending.close()
                raise
        self._writing = asyncio.ensure_future(sending)
        await self._guard(self._writing)
        self._writing = None


async def write_core(call: Any, message: bytes) -> None:
    """Send on the core's object. InvalidStateError if the peer takes nothing more."""
    await call._metadata_sent.wait()  # noqa: SLF001  (see the head of `core`)
    if call.done():
        raise asyncio.InvalidStateError
    try:
        await call._cython_call.send_serialized_message(message)  # noqa: SLF001  (same)
    except InternalError:
        raise asyncio.InvalidStateError from None


async def write_publicly(call: Any, message: bytes) -> None:
    """The same through grpc.aio, for versions nobody has looked into: after a failure reads say INTERNAL."""
    await call.write(message)


write: Final = write_core if measured(grpc.__version__) else write_publicly
