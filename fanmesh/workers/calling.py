"""Running a worker: values in, Python objects out, and every way to fail made a Fault.

Knows nothing of gRPC, so that a worker behaves the same when it is served and when it is embedded.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from fanmesh.model.fault import Fault
from fanmesh.model.values import Opaque, Value
from fanmesh.payload import PayloadError, adapt, plain
from fanmesh.workers.context import Context
from fanmesh.workers.declaring import Answers, Replace, Worker
from fanmesh.workers.joining import joined

_log: Final = logging.getLogger(__name__)

THREADS: Final = 16
"""Plain `def` workers that run at once in one process; more wait."""

_pool: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="fanmesh-worker")  # starts no thread before it is used


def read_input(worker: Worker[Any], value: Value) -> Any:
    """The input as the worker's type. Fault INVALID_ARGUMENT naming the field that does not fit."""
    if not worker.has_input:
        return None
    try:
        return adapt(value, worker.takes)
    except PayloadError as e:
        raise Fault.invalid_argument(str(e.inside("input"))) from None


@contextmanager
def failing_well(worker: Worker[Any], ctx: Context) -> Iterator[None]:
    """A Fault stays; a cancellation shows in the context; of anything else the caller learns the type and the log the rest."""
    try:
        yield
    except Fault:
        raise
    except (asyncio.CancelledError, GeneratorExit):
        ctx.cancelled = True
        raise
    except (Exception, SystemExit) as e:  # a worker that calls sys.exit() means itself, not the process it shares
        _log.exception("worker %s failed", worker.name)
        raise Fault.internal(type(e).__name__) from e


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
            with failing_well(worker, ctx):
                return await worker.invoke(data, ctx)
        case Answers.IN_THREAD:
            with failing_well(worker, ctx):
                run = contextvars.copy_context().run
                return await asyncio.get_running_loop().run_in_executor(_pool, run, _in_thread, worker, data, ctx)
        case Answers.IN_PARTS:
            return await _whole(worker, data, ctx)


def _in_thread(worker: Worker[Any], data: Any, ctx: Context) -> Any:
    """Call the function; what asyncio cannot carry out of a thread comes as what it can."""
    try:
        return worker.invoke(data, ctx)
    except StopIteration as e:  # a future cannot hold it, and would never be done
        raise RuntimeError("StopIteration") from e
    except SystemExit as e:  # the loop would end the process
        raise RuntimeError("SystemExit") from e


async def parts(worker: Worker[Any], value: Value, ctx: Context) -> AsyncGenerator[Any]:
    """The worker's answer in parts; one that answers once has one part, which is the whole. Raises Fault."""
    if worker.answers is not Answers.IN_PARTS:
        yield Replace(await answer(worker, value, ctx))
        return
    stream = _started(worker, read_input(worker, value), ctx)
    try:
        while True:
            with failing_well(worker, ctx):
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
            with failing_well(worker, ctx):
                await close()


def _started(worker: Worker[Any], data: Any, ctx: Context) -> AsyncIterator[Any]:
    with failing_well(worker, ctx):
        return aiter(worker.invoke(data, ctx))


async def _whole(worker: Worker[Any], data: Any, ctx: Context) -> Value:
    """What the parts add up to. A stream without a part has no answer: null."""
    whole: Value = None
    begun = False
    with failing_well(worker, ctx):
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
