"""One request on the aggregator's side: bytes of the event log in, what follows from them into an outbox.

Everything that can be wrong with a log ends here, as one status that names it. No task, no clock, no socket: `wire` has those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from aggregator.engine.badlog import BadLog
from aggregator.engine.fold import Fold
from aggregator.outbox import Outbox
from fanmesh.eventlog import LogError, decode_event
from fanmesh.expr import evaluator
from fanmesh.model.events import End, Event, PartArrived, Result, Start, Verdict
from fanmesh.model.fault import Code
from fanmesh.model.merge import MergeFunction
from fanmesh.model.states import BranchReason, BranchState, EmitMode
from fanmesh.payload import PayloadError
from fanmesh.runtime.functions import called
from fanmesh.runtime.tracing import Attribute, MergeSpan, Recorder
from fanmesh.transport.port import MIB, StatusError
from fanmesh.transport.status import error_info

S = BranchState
ANSWERED: Final = frozenset({S.SUCCEEDED, S.FELL_BACK})


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. `log`: what one stream may hold, replaced parts left out. `reply`: verdict and result together."""

    log: int = 16 * MIB
    reply: int = 16 * MIB - 4096


DEFAULTS: Final = Limits()

Functions: TypeAlias = Mapping[str, MergeFunction]
"""What `custom` merges may call, by its name in their options."""
NO_FUNCTIONS: Final[Functions] = {}


class MergeStream:
    """The fold of one stream. `complete`: nothing that comes makes a difference any more."""

    __slots__ = (
        "_attributes",
        "_fold",
        "_functions",
        "_held",
        "_limits",
        "_merged",
        "_parts",
        "_recorder",
        "_span",
        "complete",
        "request_id",
    )

    def __init__(self, recorder: Recorder, limits: Limits, functions: Functions = NO_FUNCTIONS) -> None:
        self.complete = False
        self.request_id = ""
        self._recorder = recorder
        self._limits = limits
        self._functions = functions
        self._fold: Fold | None = Fold(evaluator)
        self._held = 0
        self._parts: dict[tuple[str, int | None], int] = {}
        self._span: MergeSpan | None = None
        self._merged: tuple[str, ...] = ()
        self._attributes: dict[str, Attribute] = {}

    def take(self, raw: bytes, outbox: Outbox, now: int) -> bool:
        """Fold one message. Whether there is something new to send, or to wait for. StatusError if the log is bad."""
        if self._fold is None:
            return False
        try:
            event = self._equipped(decode_event(raw))
            self._note(event, len(raw), outbox)
            effects = self._fold.apply(event)
        except LogError as wrong:
            raise _bad(str(wrong), wrong.field) from None
        except BadLog as wrong:
            raise _bad(str(wrong), "") from None
        for effect in effects:
            try:
                outbox.put(effect)
            except PayloadError as wrong:
                raise StatusError(Code.FAILED_PRECONDITION, f"the result cannot be written: {wrong}") from None
            if isinstance(effect, Verdict):
                self._attributes["fanmesh.completed_by"] = effect.completed_by.name
            elif isinstance(effect, Result):
                self._merged = effect.merged
        if self._fold.verdict is None:
            return outbox.ack(event.seq, now) or bool(effects)
        if errors := self._fold.expression_errors:
            self._attributes["fanmesh.expression_errors"] = errors
        if outbox.size > self._limits.reply:
            raise _too_large("RESULT_TOO_LARGE", "the result", outbox.size, self._limits.reply)
        self.complete = True
        self._fold = None
        return True

    def ended(self) -> None:
        """The log has ended. StatusError if nothing can follow from it."""
        if not self.complete:
            raise _bad("the log ended before the request was complete", "")

    def close(self, code: Code) -> None:
        """The stream has ended with `code`: everything is let go, and the span is written."""
        self._fold = None
        self._parts.clear()
        if self._span is not None:
            self._span.end(self._merged, self._attributes, code)

    def _equipped(self, event: Event) -> Event:
        """The start with the function of its merge, if it names one that is known here: only names travel."""
        match event.what:
            case Start(merge=merge) as start if (function := self._functions.get(called(merge) or "")) is not None:
                return event._replace(what=start._replace(merge=replace(merge, function=function)))
            case _:
                return event

    def _note(self, event: Event, size: int, outbox: Outbox) -> None:
        """Look at what is not the fold's business: sizes, pace, traces, and what is not built."""
        self._held += size
        match event.what:
            case PartArrived(branch=branch, item=item, replace=replace):
                before = self._parts.get((branch, item), 0)
                if replace:
                    self._held -= before
                self._parts[branch, item] = size if replace else before + size
            case End() as end:
                kept = end.state in ANSWERED or (end.streamed and end.reason is BranchReason.STREAM_BROKEN)
                if kept and self._span is not None:
                    self._span.arrived(end.branch, end.span_id, end.trace_flags)
            case Start() as start:
                self._begin(start, outbox)
            case _:
                pass
        if self._held > self._limits.log:
            raise _too_large("LOG_TOO_LARGE", "the log", self._held, self._limits.log)

    def _begin(self, start: Start, outbox: Outbox) -> None:
        if start.emit is EmitMode.DELTA:
            raise _bad("start.emit: DELTA is not supported", "start.emit")
        if self._span is not None:
            return  # a second start, which the fold refuses
        self.request_id = start.request_id
        outbox.min_interval = start.min_interval
        self._span = MergeSpan(self._recorder, start.traceparent)
        self._attributes = {"fanmesh.plan": start.plan, "fanmesh.request_id": start.request_id}


def _bad(message: str, field: str) -> StatusError:
    info = error_info("INPUT_INVALID", {"field": field} if field else {})
    return StatusError(Code.INVALID_ARGUMENT, message, details=(info,))


def _too_large(reason: str, what: str, size: int, limit: int) -> StatusError:
    message = f"{what} of {size} bytes is over the limit of {limit}"
    return StatusError(Code.RESOURCE_EXHAUSTED, message, details=(error_info(reason),))
