"""A unary call made on the object of grpc's core, without what grpc.aio puts around it.

A fan-out is mostly unary calls, and a good part of what one costs in Python is the public way: a call object with its metadata
map, a task of its own around one core batch, and a shield around that task so that a cancellation cannot leak (see `cancel`).
Here the caller's task drives the core's coroutine itself. The one thing it then has to be kept from is cancelling the future
of the batch: it gets a stand-in whose `cancel` cancels the call in the core instead. The batch completes at once with status
CANCELLED, frees what it filled, and only then the cancellation is raised; nothing has to be drained.

Private parts, so only for the versions that `cancel` names; others get the public way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from types import coroutine
from typing import Any, Final, Protocol, TypeAlias

import grpc
from grpc.aio import AioRpcError, BaseError
from grpc.aio._utils import _timeout_to_deadline

from fanmesh.transport.cancel import cancel_core, measured
from fanmesh.transport.port import Metadata

Answered: TypeAlias = tuple[bytes | None, int, str, Metadata]
"""How a call ended: payload (None unless the code is 0), code, details, trailers."""


class Caller(Protocol):
    """The channel, as its calls know it: `raw` is grpc.aio's, `live` holds the calls that run."""

    raw: Any
    live: set[Any]


class Batch:
    """What the task waits for: the future of the core's batch, but cancelling it cancels the call.

    As much of a future as a task asks of one, by the protocol that asyncio has for futures of other makers.
    """

    __slots__ = ("_asyncio_future_blocking", "_call", "add_done_callback", "get_loop")

    add_done_callback: Callable[..., None]
    get_loop: Callable[[], asyncio.AbstractEventLoop]

    def __init__(self, call: Any, future: asyncio.Future[None]) -> None:
        self._asyncio_future_blocking = True
        self._call = call
        self.add_done_callback = future.add_done_callback
        self.get_loop = future.get_loop

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002  (the protocol's)
        """Cancel in the core. False: not cancelled yet; the task raises its cancellation when the batch has ended."""
        cancel_core(self._call)
        return False


async def call_core(channel: Caller, path: bytes, request: bytes, timeout: float | None, metadata: Metadata) -> Answered:  # noqa: ASYNC109  (gRPC's deadline)
    """Make a call. UsageError if the channel is closed, another BaseError if the core refuses the call."""
    call = channel.raw._channel.call(path, _timeout_to_deadline(timeout), None, None)  # noqa: SLF001  (see the head)
    channel.live.add(call)
    try:
        payload = await _drive(call, call.unary_unary(request, tuple(metadata)))
    finally:
        channel.live.discard(call)
    status = call._status  # noqa: SLF001  (the public way is a coroutine)
    return payload, status.code(), status.details(), status.trailing_metadata()


@coroutine
def _drive(call: Any, running: Any) -> Generator[Any, None, bytes | None]:
    """Run the core's coroutine for `call`: it waits for one batch. Never leaves before that has ended."""
    batch = Batch(call, running.send(None))
    try:
        yield batch
    except GeneratorExit:  # its task was thrown away unfinished, with the loop
        cancel_core(call)
        running.close()
        raise
    except asyncio.CancelledError:
        with suppress(BaseError):
            _end(running)
        raise
    except BaseError:
        pass  # the batch failed as a whole: `running` says so, too
    return _end(running)


def _end(running: Any) -> bytes | None:
    """Let the core's coroutine take its results."""
    try:
        running.send(None)
    except StopIteration as end:
        payload: bytes | None = end.value
        return payload
    raise RuntimeError("grpc's core waited for more than one batch")


async def call_publicly(channel: Caller, path: bytes, request: bytes, timeout: float | None, metadata: Metadata) -> Answered:  # noqa: ASYNC109  (gRPC's deadline)
    """The same through grpc.aio's own call, for versions nobody has looked into: slower, and a cancelled one leaks."""
    call = channel.raw.unary_unary(path.decode())(request, timeout=timeout, metadata=metadata)
    channel.live.add(call)
    try:
        return await call, 0, "", tuple(await call.trailing_metadata())
    except AioRpcError as e:
        return None, e.code().value[0], e.details() or "", tuple(e.trailing_metadata() or ())
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return None, grpc.StatusCode.CANCELLED.value[0], "cancelled on this side", ()
    finally:
        channel.live.discard(call)


call_unary: Final = call_core if measured(grpc.__version__) else call_publicly
