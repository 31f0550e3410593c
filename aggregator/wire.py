"""AggregatorService: a reader and a writer around one fold per stream.

Two tasks and not one, because a dispatcher that is slow to read must still be read from: if both sides waited for the other to
take something, neither would ever go on. The writer looks into an outbox of fixed size, so nothing can pile up between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aggregator.outbox import Outbox
from aggregator.stream import DEFAULTS, NO_FUNCTIONS, Functions, Limits, MergeStream
from fanmesh.eventlog import AGGREGATE
from fanmesh.model.fault import Code
from fanmesh.runtime.clock import LoopClock
from fanmesh.runtime.logs import logger, of_request
from fanmesh.runtime.tracing import OFF, Recorder
from fanmesh.transport.port import Routes, ServerCall, StatusError

LONGEST: Final = 60.0
"""Seconds for a stream whose caller sets no deadline: one that is never half-closed would stay for ever."""


class AggregatorService:
    """Answers `Aggregate`. To be made while the loop runs. `streams`: how many are open now."""

    def __init__(self, recorder: Recorder = OFF, limits: Limits = DEFAULTS, functions: Functions = NO_FUNCTIONS) -> None:
        self.streams = 0
        self._recorder = recorder
        self._limits = limits
        self._functions = functions
        self._clock = LoopClock(asyncio.get_running_loop())
        self._log = logger("aggregator")

    def routes(self) -> Routes:
        """What the server answers."""
        return Routes(duplex={AGGREGATE: self.aggregate})

    async def aggregate(self, requests: AsyncIterator[bytes], call: ServerCall) -> None:
        """One request. Ends after its result and the dispatcher's half-close, or with a status that says what is wrong."""
        stream, outbox, changed = MergeStream(self._recorder, self._limits, self._functions), Outbox(), asyncio.Event()
        code = Code.CANCELLED
        self.streams += 1
        writer = asyncio.ensure_future(self._write(outbox, changed, call))
        try:
            async with asyncio.timeout(LONGEST if call.time_remaining() is None else None):
                async for raw in requests:
                    if stream.take(raw, outbox, self._clock.now()):
                        changed.set()
                stream.ended()
                await writer
            code = Code.OK
        except StatusError as refused:
            code = refused.code
            of_request(self._log, stream.request_id).warning("refused", code=code.name, why=refused.message)
            raise
        except TimeoutError:
            code = Code.DEADLINE_EXCEEDED
            raise StatusError(code, f"a stream without a deadline is ended after {LONGEST:g} s") from None
        finally:
            self.streams -= 1
            stream.close(Code.OK if outbox.closed else code)
            writer.cancel()
            await asyncio.wait((writer,))
            if not writer.cancelled():
                writer.exception()  # a caller that has gone; the reader was told too

    async def _write(self, outbox: Outbox, changed: asyncio.Event, call: ServerCall) -> None:
        """The one writer of a stream."""
        while not outbox.closed:
            if (message := outbox.take(self._clock.now())) is not None:
                await call.write(message)
                continue
            changed.clear()
            due = outbox.due()
            timer = None if due is None else self._clock.call_at(due, changed.set)
            try:
                await changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()
