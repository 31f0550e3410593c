"""The observer that traces.

The first attempt is the branch's span: a span for each of both would double the bill and say the same twice. Further attempts
get their own, as its children. A span is written once, when its final word is known, so the only things that live while a
request runs are eight bytes and a flag per attempt. A request that is not sampled has not even those: the trace context goes
on to the workers as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from opentelemetry.trace import SpanKind

from dispatcher.layers.types import Attempt, BranchRun, Note, Now
from dispatcher.model.request import Refusal, Request, Trace
from dispatcher.wire.observers import Nobody
from dispatcher.wire.span_attributes import code_of, is_remote, of_attempt, of_branch, of_merge, of_note, of_report
from fanmesh.model.fault import Code, Fault
from fanmesh.model.report import Report
from fanmesh.model.states import AggregatorMode, BranchState
from fanmesh.model.times import MS
from fanmesh.runtime.traceparent import Ids, parse, render
from fanmesh.runtime.tracing import OFF, SERVER_ERRORS, Attribute, Recorder, SpanEvent

S = BranchState
FAILED: Final = frozenset({S.FAILED, S.TIMED_OUT, S.REJECTED})
"""States that are an error of the branch. What we gave up ourselves, or never wanted, is none."""

UNTRACED: Final = Trace()
STEP: Final = MS
"""The wall clock may move this far against the monotonic one before spans follow it."""


class Mark(NamedTuple):
    """The span of an attempt, as events, reports and links need it. `span_id` is 8 bytes."""

    span_id: bytes
    flags: int


def trace_of(metadata: Iterable[tuple[str, str | bytes]], recorder: Recorder) -> Trace:
    """The trace context of a call, with the sampling decision. Makes no span: the observer writes it when the request ends.

    Sampled: `traceparent` is that of the request's own span. Not sampled: as it came. If it was not valid or absent: a new one
    that says so, or every worker would begin a trace of its own; empty if nothing is recorded here at all.
    """
    traceparent = ""
    states: list[str] = []
    for key, value in metadata:
        if isinstance(value, bytes):
            continue
        if key == "traceparent":
            traceparent = value
        elif key == "tracestate":
            states.append(value)
    if not traceparent and recorder is OFF:
        return UNTRACED
    tracestate = ",".join(states)
    caller = parse(traceparent, tracestate)
    own = recorder.begin(caller, "dispatch")
    if own is not None:
        return Trace(render(own), own.tracestate, True, traceparent[36:52] if caller else "")
    if caller is not None:
        return Trace(traceparent, tracestate)
    if recorder is OFF:
        return UNTRACED
    new_id = recorder.new_span_id
    return Trace(render(Ids(new_id() << 64 | new_id(), new_id(), 0)))


NOBODY: Final[Mapping[str, Mark]] = {}


class Spans(Nobody):
    """Records the spans of sampled requests. `now` is the engine's clock, in whose time attempts are stamped."""

    def __init__(self, recorder: Recorder, now: Now) -> None:
        self._recorder = recorder
        self._now = now
        self._epoch = recorder.wall() - now()
        self._winners: dict[str, dict[str, Mark]] = {}

    def request_started(self, request: Request) -> None:
        """Follow the wall clock in steps only, so that the spans of a request agree with each other."""
        if request.trace.sampled:
            epoch = self._recorder.wall() - self._now()
            if abs(epoch - self._epoch) > STEP:
                self._epoch = epoch

    def branch_started(self, run: BranchRun) -> None:
        """Give the branch its span id."""
        trace = run.request.trace
        if trace.sampled:
            run.trace = self._mark(int(trace.traceparent[53:55], 16))

    def attempt_started(self, attempt: Attempt) -> None:
        """Send the attempt's own trace context along."""
        run = attempt.run
        trace = run.request.trace
        if not trace.sampled:
            return  # the context goes on as it came, with the request's headers
        mark: Mark = run.trace if attempt is run.made[0] else self._mark(run.trace.flags)
        attempt.trace = mark
        attempt.metadata = headers(f"{trace.traceparent[:36]}{mark.span_id.hex()}{trace.traceparent[52:55]}", trace.tracestate)

    def attempt_ended(self, attempt: Attempt) -> None:
        """Record attempts from the second on; the first one is recorded with its branch."""
        run = attempt.run
        if not run.request.trace.sampled or attempt is run.made[0]:
            return
        code = code_of(attempt.outcome)
        error = code if isinstance(attempt.outcome, Fault) and not attempt.cancelled else None
        attributes = of_attempt(run, attempt, code)
        if error is not None:
            attributes["error.type"] = error
        ended = self._now() if attempt.ended_at is None else attempt.ended_at
        self._record(f"attempt {run.node.id}", run, attempt.trace, run.trace.span_id, attempt.sent_at, ended, attributes, error)

    def branch_ended(self, run: BranchRun) -> None:
        """Record the branch with its first attempt."""
        trace = run.request.trace
        if not trace.sampled:
            return
        attributes = of_branch(run)
        error = None
        if run.state in FAILED:
            error = f"{run.state.name}/{run.reason.name}"
            attributes["error.type"] = run.reason.name
        if len(run.made) > 1 and run.ended_at is None:  # otherwise the request has been merged without it
            self._remember(run, trace.traceparent)
        now = self._now()
        refused_at = run.notes[0].at if run.notes else now
        start = refused_at if run.started_at is None else run.started_at
        parent = bytes.fromhex(trace.traceparent[36:52])
        events = [self._event(note) for note in run.notes]
        self._record(f"branch {run.node.id}", run, run.trace, parent, start, now, attributes, error, events)

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Record the request; and the merge, if it ran in this process, so that a trace reads the same in both modes."""
        trace = request.trace
        ids = parse(trace.traceparent, trace.tracestate) if trace.sampled else None
        if ids is None:
            return
        winners = self._winners.pop(trace.traceparent, NOBODY)
        start, end = self._epoch + request.arrived, self._epoch + now
        if report is not None and report.aggregator_mode is not AggregatorMode.REMOTE:
            self._merge(ids, report, winners, start, end)
        code = refusal.code if refusal else Code.OK
        attributes: dict[str, Attribute] = {"rpc.response.status_code": code.name, "fanmesh.request_id": request.id}
        if request.method:
            attributes |= {"rpc.system.name": "grpc", "rpc.method": request.method}
        if report is not None:
            attributes |= of_report(report)
        if refusal is not None:
            attributes["fanmesh.refusal"] = refusal.reason
        error = None
        if refusal is not None and code in SERVER_ERRORS:
            error = refusal.reason
            attributes["error.type"] = code.name
        self._recorder.record(
            f"dispatch {report.plan}" if report is not None else "dispatch",
            SpanKind.SERVER if request.method else SpanKind.INTERNAL,
            ids,
            int(trace.parent, 16) if trace.parent else 0,
            start,
            end,
            attributes,
            remote=True,
            error=error,
        )

    def _remember(self, run: BranchRun, request: str) -> None:
        """Keep which attempt the branch's answer came from until the merge is recorded, if it is not the first."""
        winner = run.deciding or (run.attempts[-1] if run.attempts else None)
        if winner is not None and winner is not run.made[0]:
            self._winners.setdefault(request, {})[run.node.id] = winner.trace

    def _mark(self, flags: int) -> Mark:
        return Mark(self._recorder.new_span_id().to_bytes(8, "big"), flags)

    def _record(
        self,
        name: str,
        run: BranchRun,
        mark: Mark,
        parent: bytes,
        start: int,
        end: int,
        attributes: Mapping[str, Attribute],
        error: str | None,
        events: Sequence[SpanEvent] = (),
    ) -> None:
        trace = run.request.trace
        self._recorder.record(
            name,
            SpanKind.CLIENT if is_remote(run.node.worker) else SpanKind.INTERNAL,
            Ids(int(trace.trace_id, 16), int.from_bytes(mark.span_id, "big"), mark.flags, trace.tracestate),
            int.from_bytes(parent, "big"),
            self._epoch + start,
            self._epoch + end,
            attributes,
            error=error,
            events=events,
        )

    def _event(self, note: Note) -> SpanEvent:
        """A decision of a policy: what it did or denied, and why."""
        return SpanEvent(note.what, self._epoch + note.at, of_note(note))

    def _merge(self, request: Ids, report: Report, winners: Mapping[str, Mark], start: int, end: int) -> None:
        """As the aggregator's own span: linked to the attempts whose answers are in the result."""
        links = []
        for row in report.branches:
            if row.merged and row.span_id and row.state is not S.DEFAULTED:  # a default came from no attempt
                mark = winners.get(row.branch)
                span_id = int(row.span_id, 16) if mark is None else int.from_bytes(mark.span_id, "big")
                links.append(request._replace(span_id=span_id))
        self._recorder.record(
            "aggregate",
            SpanKind.INTERNAL,
            request._replace(span_id=self._recorder.new_span_id()),
            request.span_id,
            start,
            end,
            of_merge(report),
            links=links,
        )


def headers(traceparent: str, tracestate: str) -> tuple[tuple[str, str], ...]:
    """Trace context as metadata."""
    if tracestate:
        return ("traceparent", traceparent), ("tracestate", tracestate)
    return (("traceparent", traceparent),)
