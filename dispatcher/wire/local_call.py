"""The leaf for workers in this process: a function instead of a channel, with the same outcomes.

A local coroutine is cancelled like a remote call, may report confidence and usage, may answer in parts, and fails into the same
closed set of faults, so that a plan cannot tell where its workers run.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from dispatcher.flow.ports import Clock
from dispatcher.layers.types import Attempt, Gate, Sink
from dispatcher.model.limits import Limits
from dispatcher.wire.faults import invalid, too_large
from dispatcher.wire.within import within
from dispatcher.wire.worker_call import key_of, metadata_of
from fanmesh.jsontext import ANSWER_DEPTH, reread
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.times import seconds
from fanmesh.model.values import Opaque, Value
from fanmesh.payload import PayloadError, encode, plain
from fanmesh.runtime.clock import sleep
from fanmesh.workers.calling import answer, not_json, parts
from fanmesh.workers.context import Context
from fanmesh.workers.declaring import Replace, Worker

PARTS_A_TURN: Final = 64
"""A generator that never waits would keep the loop, and every other branch, until its end."""


class LocalEndpoint:
    """A worker function as an endpoint."""

    __slots__ = ("_clock", "_limits", "_worker", "address")

    spare = False

    def __init__(self, worker: Worker[Any], clock: Clock, limits: Limits) -> None:
        self._worker = worker
        self._clock = clock
        self._limits = limits
        self.address = f"local:{worker.name}"

    def ready(self) -> bool:
        """It is always there."""
        return True

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Run the function, for as long as the attempt may take."""
        return await within(attempt, self._call(attempt, sink), self._clock)

    async def _call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Its input is its own: what it changes there, no other branch sees."""
        run = attempt.run
        ctx = self._context(attempt)
        given = run.input.value
        value = given if isinstance(given, Opaque) else plain(given)
        try:
            if run.node.worker.streams:
                return await self._stream(value, ctx, attempt, sink)
            output, size = _read(await answer(self._worker, value, ctx))
        except Fault as fault:
            return fault
        except PayloadError as error:
            return invalid(f"output: {error}")
        if size > self._limits.branch:
            return too_large("an answer", size, self._limits.branch)
        return Success(output, ctx.confidence, ctx.usage, ctx.labels or None)

    async def _stream(self, value: Any, ctx: Context, attempt: Attempt, sink: Sink) -> Outcome:
        count = total = 0
        stream = parts(self._worker, value, ctx)
        try:
            async for part in stream:
                replace = isinstance(part, Replace)
                output, size = _read(part.value if replace else part)
                total += size
                if size > self._limits.part:
                    return too_large("a part", size, self._limits.part)
                if total > self._limits.branch:
                    return too_large("an answer", total, self._limits.branch)
                match sink.part(Part(output, replace, count, ctx.confidence, size), attempt):
                    case Gate.STOP:
                        return Fault(FaultKind.CANCELLED, Code.CANCELLED, "nobody waits for it", origin=Origin.LOCAL)
                    case Fault() as unfit:
                        return unfit
                    case asyncio.Future() as room:
                        await room
                count += 1
                if count % PARTS_A_TURN == 0:
                    await sleep(0)
        except Fault as fault:
            if not count:
                raise
            text = f"broke after {count} part{'s' if count > 1 else ''}: {fault}"
            return Fault(FaultKind.STREAM_BROKEN, fault.code, text, retryable=fault.retryable)
        except PayloadError as error:
            return invalid(f"part {count}: {error}")
        finally:
            await stream.aclose()
        return Success(None, ctx.confidence, ctx.usage, ctx.labels or None, streamed=count > 0)

    def _context(self, attempt: Attempt) -> Context:
        if not self._worker.has_context:
            return Context()  # it cannot look
        run, request = attempt.run, attempt.run.request
        allowed = run.node.worker.attributes
        return Context(
            request_id=request.id,
            plan=run.plan.name,
            branch=run.node.id,
            item_key=run.item_key,
            attempt=attempt.number,
            shadow=request.shadow,
            idempotency_key=key_of(attempt) if run.node.writes else "",
            attributes={name: value for name, value in request.attributes.items() if name in allowed},
            metadata={key: value for key, value in metadata_of(attempt) if isinstance(value, str)},
            time_left=lambda: seconds(max(0, attempt.deadline - self._clock.now())),
        )


def _read(out: Any) -> tuple[Value, int]:
    """An answer or a part as a value that shares nothing with it, and its bytes, as if it had come over the wire.

    Raises Fault for what its worker could not have sent, PayloadError for what nobody here would have taken.
    """
    if isinstance(out, Opaque):
        return out, len(out.data)
    try:
        text = encode(out)
    except PayloadError as error:
        raise not_json(error) from None
    return reread(text, ANSWER_DEPTH), len(text)
