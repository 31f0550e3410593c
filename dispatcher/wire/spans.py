"""The observer that traces.

The first attempt is the branch's span: a span for each of both would double the bill and say the same twice. Further attempts
get their own, as its children. A span is written once, when its final word is known, so the only things that live while a
request runs are eight bytes and a flag per attempt. A request that is not sampled has not even those: the trace context goes
on to the workers as it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from opentelemetry.trace import SpanKind

from dispatcher.flow.ports import RequestObserver
from dispatcher.layers.types import Attempt, BranchRun, Now
from dispatcher.model.plan import Worker
from dispatcher.model.request import Refusal, Request, Trace
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.report import Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState
from fanmesh.model.times import MS
from fanmesh.runtime.tracing import OFF, SERVER_ERRORS, Attribute, Recorder
from fanmesh.runtime.traceparent import Ids, parse, render

S = BranchState
FAILED: Final = frozenset({S.FAILED, S.TIMED_OUT, S.REJECTED})
"""States that are an error of the branch. What we gave up ourselves, or never wanted, is none."""

UNTRACED: Final = Trace()
STEP: Final = MS
"""The wall clock may move this far against the monotonic one before spans follow it."""


class Mark(NamedTuple):
    """The span of an attempt, as events, reports and links need it."""

    span_id: bytes
    flags: int


def trace_of(metadata: Iterable[tuple[str, str | bytes]], recorder: Recorder) -> Trace:
    """The trace context of a call, with the sampling decision. Makes no span: the observer writes it when the request ends.

    Sampled: `traceparent` is that of the request's own span. Not sampled: as it came, or empty if it was not valid or absent.
    """
    traceparent = ""
    states: list[str] = []
    for key, value in metadata:
        if key == "traceparent" and isinstance(value, str):
            traceparent = value
        elif key == "tracestate" and isinstance(value, str):
            states.append(value)
    if not traceparent and recorder is OFF:
        return UNTRACED
    tracestate = ",".join(states)
    caller = parse(traceparent, tracestate)
    own = recorder.begin(caller, "dispatch")
    if own is not None:
        return Trace(render(own), own.tracestate, True, traceparent[36:52] if caller else "")
    return Trace(traceparent, tracestate) if caller is not None else UNTRACED


class Spans(RequestObserver):
    """Records the spans of sampled requests. `now` is the engine's clock, in whose time attempts are stamped.

    `method` is what callers called (`package.Service/Method`); empty for an engine without a server.
    """

    def __init__(self, recorder: Recorder, now: Now, method: str = "fanmesh.v1.DispatcherService/Dispatch") -> None:
        self._recorder = recorder
        self._now = now
        self._served: dict[str, Attribute] = {"rpc.system.name": "grpc", "rpc.method": method} if method else {}
        self._epoch = recorder.wall() - now()

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
            run.trace = Mark(self._recorder.new_span_id().to_bytes(8, "big"), int(trace.traceparent[53:55], 16))

    def attempt_started(self, attempt: Attempt) -> None:
        """Send the attempt's own trace context along."""
        run = attempt.run
        trace = run.request.trace
        if not trace.sampled:
            if trace.traceparent:
                attempt.metadata = headers(trace.traceparent, trace.tracestate)
            return
        mark: Mark = run.trace
        if attempt is not run.attempts[0]:
            mark = Mark(self._recorder.new_span_id().to_bytes(8, "big"), mark.flags)
        attempt.trace = mark
        attempt.metadata = headers(f"{trace.traceparent[:36]}{mark.span_id.hex()}{trace.traceparent[52:55]}", trace.tracestate)

    def attempt_ended(self, attempt: Attempt) -> None:
        """Record attempts from the second on; the first one is recorded with its branch."""
        run = attempt.run
        if not run.request.trace.sampled or attempt is run.attempts[0]:
            return
        outcome = attempt.outcome
        failed = isinstance(outcome, Fault) and not attempt.cancelled
        code = code_of(outcome)
        attributes = attempt_attributes(attempt, code)
        attributes["fanmesh.plan"] = run.plan.name
        attributes["fanmesh.branch"] = run.node.id
        if failed:
            attributes["error.type"] = code
        self._record(
            f"attempt {run.node.id}", run, attempt.trace, run.trace, attempt.sent_at, attempt.ended_at, attributes, code if failed else None
        )

    def branch_ended(self, run: BranchRun) -> None:
        """Record the branch with its first attempt."""
        if not run.request.trace.sampled:
            return
        node, state = run.node, run.state
        first = run.attempts[0] if run.attempts else None
        code = "DEADLINE_EXCEEDED" if state is S.TIMED_OUT else code_of(first.outcome if first else run.outcome)
        attributes = attempt_attributes(first, code) if first else {"fanmesh.worker": node.worker.name}
        attributes["fanmesh.plan"] = run.plan.name
        attributes["fanmesh.branch"] = node.id
        attributes["fanmesh.branch.state"] = (S.CANCELLED if state is S.PENDING else state).name
        attributes["fanmesh.branch.required"] = node.required
        attributes["fanmesh.branch.weight"] = node.weight
        if run.reason is not BranchReason.NONE:
            attributes["fanmesh.branch.reason"] = run.reason.name
        if len(run.attempts) > 1:
            attributes["fanmesh.branch.attempts"] = len(run.attempts)
        error = None
        if state in FAILED:
            error = f"{state.name}/{run.reason.name}"
            attributes["error.type"] = code if run.outcome is not None else run.reason.name
        now = self._now()
        start = run.started_at if run.started_at is not None else now
        self._record(f"branch {node.id}", run, run.trace, None, start, now, attributes, error)

    def _record(
        self,
        name: str,
        run: BranchRun,
        mark: Mark,
        parent: Mark | None,
        start: int,
        end: int | None,
        attributes: dict[str, Attribute],
        error: str | None,
    ) -> None:
        trace = run.request.trace
        own = int(trace.traceparent[36:52], 16)
        self._recorder.record(
            name,
            SpanKind.CLIENT if is_remote(run.node.worker) else SpanKind.INTERNAL,
            Ids(int(trace.trace_id, 16), int.from_bytes(mark.span_id, "big"), mark.flags, trace.tracestate),
            int.from_bytes(parent.span_id, "big") if parent else own,
            self._epoch + start,
            self._epoch + (self._now() if end is None else end),
            attributes,
            error=error,
        )

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Record the request; and the merge, if it ran in this process, so that a trace reads the same in both modes."""
        trace = request.trace
        if not trace.sampled:
            return
        ids = parse(trace.traceparent, trace.tracestate)
        if ids is None:
            return
        start, end = self._epoch + request.arrived, self._epoch + now
        if report is not None and report.aggregator_mode is not AggregatorMode.REMOTE:
            self._merge(ids, report, start, end)
        code = refusal.code if refusal else Code.OK
        failed = code in SERVER_ERRORS
        attributes = {**self._served, "rpc.response.status_code": code.name, "fanmesh.request_id": request.id}
        if report is not None:
            attributes |= report_attributes(report)
        if refusal is not None:
            attributes["fanmesh.refusal"] = refusal.reason
        if failed:
            attributes["error.type"] = code.name
        self._recorder.record(
            f"dispatch {report.plan}" if report is not None else "dispatch",
            SpanKind.SERVER if self._served else SpanKind.INTERNAL,
            ids,
            int(trace.parent, 16) if trace.parent else 0,
            start,
            end,
            attributes,
            remote=True,
            error=refusal.reason if refusal and failed else None,
        )

    def _merge(self, request: Ids, report: Report, start: int, end: int) -> None:
        links = [
            Ids(request.trace_id, int(row.span_id, 16), request.flags) for row in report.branches if row.merged and row.span_id
        ]
        self._recorder.record(
            "aggregate",
            SpanKind.INTERNAL,
            request._replace(span_id=self._recorder.new_span_id()),
            request.span_id,
            start,
            end,
            {"fanmesh.plan": report.plan, "fanmesh.completed_by": report.completed_by.name},
            links=links,
        )


def headers(traceparent: str, tracestate: str) -> tuple[tuple[str, str], ...]:
    """Trace context as metadata."""
    if tracestate:
        return ("traceparent", traceparent), ("tracestate", tracestate)
    return (("traceparent", traceparent),)


def is_remote(worker: Worker) -> bool:
    """Whether it is called over gRPC; otherwise it is a coroutine of this process."""
    return bool(worker.target or worker.endpoints)


def code_of(outcome: Outcome | None) -> str:
    """The gRPC code of an outcome; none = we cancelled it."""
    match outcome:
        case Success():
            return "OK"
        case Fault():
            return outcome.code.name
        case None:
            return "CANCELLED"


def attempt_attributes(attempt: Attempt, code: str) -> dict[str, Attribute]:
    """What is known of one call. Names: OpenTelemetry conventions for RPC and server, our own under `fanmesh.`."""
    worker = attempt.run.node.worker
    attributes: dict[str, Attribute] = {
        "fanmesh.worker": worker.name,
        "fanmesh.attempt.number": attempt.number,
        "fanmesh.attempt.kind": KINDS[attempt.kind],
        "fanmesh.attempt.won": isinstance(attempt.outcome, Success),
    }
    if is_remote(worker):
        attributes["rpc.system.name"] = "grpc"
        attributes["rpc.method"] = STREAM_METHOD if worker.streams else UNARY_METHOD
        attributes["rpc.response.status_code"] = code
        if attempt.endpoint is not None:
            host, port = address_of(attempt.endpoint.address)
            attributes["server.address"] = host
            if port:
                attributes["server.port"] = port
    return attributes


def report_attributes(report: Report) -> dict[str, Attribute]:
    """What a report says in a line."""
    attributes: dict[str, Attribute] = {
        "fanmesh.plan": report.plan,
        "fanmesh.route": report.route,
        "fanmesh.completed_by": report.completed_by.name,
        "fanmesh.complete": report.complete,
        "fanmesh.coverage": report.coverage.ratio,
        "fanmesh.aggregator_mode": report.aggregator_mode.name,
    }
    if report.degraded:
        attributes["fanmesh.degraded"] = report.degraded.names()
    return attributes


UNARY_METHOD: Final = "fanmesh.v1.WorkerService/Process"
STREAM_METHOD: Final = "fanmesh.v1.WorkerService/ProcessStream"
KINDS: Final = {kind: kind.name.lower() for kind in AttemptKind}


@lru_cache(maxsize=1024)
def address_of(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 = there is none (a socket's path)."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else (address, 0)
