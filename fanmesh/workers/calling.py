"""Running a worker: values in, Python objects out, and every way to fail made a Fault.

Knows nothing of gRPC, so that a worker behaves the same when it is served and when it is embedded.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, Final

from fanmesh.model.fault import Fault
from fanmesh.model.values import Opaque, Value
from fanmesh.payload import PayloadError, adapt, plain
from fanmesh.workers.context import Context
from fanmesh.workers.declaring import Answers, Replace, Worker
from fanmesh.workers.joining import joined
from fanmesh.workers.threads import Threads

_log: Final = logging.getLogger(__name__)

THREADS: Final = Threads()
"""Of all plain `def` workers in this process."""


def read_input(worker: Worker[Any], value: Value) -> Any:
    """The input as the worker's type. Fault INVALID_ARGUMENT naming the field that does not fit."""
    if not worker.has_input:
        return None
    try:
        return adapt(value, worker.takes)
    except PayloadError as e:
        raise Fault.invalid_argument(str(e.inside("input"))) from None


class FailingWell:
    """A Fault stays; a cancellation shows in the context; of anything else the caller learns the type and the log the rest."""

    __slots__ = ("_ctx", "_worker")

    def __init__(self, worker: Worker[Any], ctx: Context) -> None:
        self._worker = worker
        self._ctx = ctx

    def __enter__(self) -> None:
        """Nothing has failed yet."""

    def __exit__(self, _kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """Raise what becomes of the error."""
        match error:
            case None | Fault():
                return
            case asyncio.CancelledError():
                self._ctx.cancelled = True
            case GeneratorExit() if trace is not None and trace.tb_next is None:
                self._ctx.cancelled = True  # raised where we wait: we are being closed. A worker's own comes from further in
            case Exception() | SystemExit() | GeneratorExit():  # a worker that exits means itself, not the process it shares
                _log.error("worker %s failed", self._worker.name, exc_info=error)
                raise Fault.internal(type(error).__name__) from error


async def answer(worker: Worker[Any], value: Value, ctx: Context) -> Any:
    """The worker's whole answer, whichever way it answers. Raises Fault."""
    answered = await _answer(worker, value, ctx)
    if isinstance(answered, Fault):  # a slip that would else be a success with a strange value
        _log.error("worker %s returned a Fault instead of raising it: %s", worker.name, answered)
        raise Fault.internal("returned a Fault; it has to be raised")
    return answered


async def _answer(worker: Worker[Any], value: Value, ctx: Context) -> Any:
    data = read_input(worker, value)
    match worker.answers:
        case Answers.ONCE:
            with FailingWell(worker, ctx):
                return await worker.invoke(data, ctx)
        case Answers.IN_THREAD:
            with FailingWell(worker, ctx):
                run = contextvars.copy_context().run
                return await asyncio.get_running_loop().run_in_executor(THREADS, run, _in_thread, worker, data, ctx)
        case Answers.IN_PARTS:
            return await _whole(worker, data, ctx)


def _in_thread(worker: Worker[Any], data: Any, ctx: Context) -> Any:
    """Call the function; what asyncio cannot carry out of a thread comes as what it can."""
    try:
        return worker.invoke(data, ctx)
    except StopIteration as e:  # a future cannot hold it, and would never be done
        raise RuntimeError("StopIteration") from e
    except (SystemExit, GeneratorExit) as e:  # the loop would end the process, or close who waits
        raise RuntimeError(type(e).__name__) from e


async def parts(worker: Worker[Any], value: Value, ctx: Context) -> AsyncGenerator[Any]:
    """The worker's answer in parts; one that answers once has one part, which is the whole. Raises Fault."""
    if worker.answers is not Answers.IN_PARTS:
        yield Replace(await answer(worker, value, ctx))
        return
    stream = _started(worker, read_input(worker, value), ctx)
    try:
        while True:
            with FailingWell(worker, ctx):
                try:
                    part = await anext(stream)
                except StopAsyncIteration:
                    return
            yield part
    except (asyncio.CancelledError, GeneratorExit):
        ctx.cancelled = True
        raise
    finally:
        if (close := getattr(stream, "aclose", None)) is not None:
            with FailingWell(worker, ctx):
                await close()


def _started(worker: Worker[Any], data: Any, ctx: Context) -> AsyncIterator[Any]:
    with FailingWell(worker, ctx):
        return aiter(worker.invoke(data, ctx))


async def _whole(worker: Worker[Any], data: Any, ctx: Context) -> Value:
    """What the parts add up to. A stream without a part has no answer: null."""
    whole: Value = None
    begun = False
    with FailingWell(worker, ctx):
        async for part in aiter(worker.invoke(data, ctx)):
            value = to_json(part.value if isinstance(part, Replace) else part)
            try:
                whole = value if isinstance(part, Replace) or not begun else joined(whole, value)
            except PayloadError as e:
                raise Fault.internal(f"the parts do not add up: {e}") from None
            begun = True
    return whole


def to_json(out: Any) -> Value:
    """A worker's answer as a value that shares nothing with it. Fault INTERNAL for what is not JSON."""
    if isinstance(out, Opaque):
        return out
    try:
        return plain(out)
    except PayloadError as e:
        raise not_json(e) from None


def not_json(error: PayloadError) -> Fault:
    """The answer cannot be written."""
    return Fault.internal(f"the answer is not JSON: {error}")
