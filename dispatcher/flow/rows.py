"""A branch's books as the row of a report.

Rows are built by position: there is one for each branch of each request, and naming eighteen fields takes half as long again.
"""

from __future__ import annotations

from typing import Final

from dispatcher.flow.prepare import is_required
from dispatcher.layers.types import Attempt, BranchRun
from fanmesh.model.endings import with_default
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.report import AttemptReport, BranchReport, PolicyDecision
from fanmesh.model.states import BranchState
from fanmesh.model.usage import NOTHING

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
PENDING: Final = BranchState.PENDING
SUCCEEDED: Final = BranchState.SUCCEEDED
FELL_BACK: Final = BranchState.FELL_BACK
LOCAL_TIMEOUT: Final = FaultKind.LOCAL_TIMEOUT
"""Told like our own cancellation: whether the transport's timer or flow's alarm is first is chance, and the alarm decides."""


def row_of(run: BranchRun, now: int, *, merged: bool) -> BranchReport:
    """The row at `now` (clock time, ns). A branch that has not ended is PENDING, and its elapsed time is so far."""
    node, state, reason, outcome, started = run.node, run.state, run.reason, run.outcome, run.started_at
    ended = now if run.ended_at is None else run.ended_at
    deciding = run.deciding or (run.attempts[-1] if run.attempts else None)
    attempts = tuple([_attempt(attempt, run, ended, deciding) for attempt in (run.attempts if run.relay is None else run.made)])
    started_after = elapsed = sla_met = None
    if started is not None:
        started_after = started - run.request.arrived
        elapsed = max(0, ended - started)  # a verdict from afar may be older than the send
        if node.sla is not None and state is not PENDING:
            answered = state is SUCCEEDED or (state is FELL_BACK and run.relay is not None)  # an older answer is none in time
            sla_met = answered and elapsed <= node.sla
    elif node.sla is not None and state is SUCCEEDED:
        sla_met = True  # nothing was sent, and it was there at once
    code, detail, confidence, usage = 0, run.why, None, NOTHING
    fault: Outcome | None = outcome
    if isinstance(outcome, Success):
        confidence, usage, fault = outcome.confidence, outcome.usage, outcome.instead
    if isinstance(fault, Fault) and fault.kind is not LOCAL_TIMEOUT:
        code, detail = int(fault.code), fault.detail
    return BranchReport(
        node.id,
        node.worker.name,
        with_default(state, reason, run.if_missing),
        reason,
        deciding.endpoint.address if deciding is not None and deciding.endpoint is not None else "",
        code,
        detail,
        attempts,
        started_after,
        elapsed,
        run.queued,
        is_required(node, run.request),
        node.weight if run.parent is None else node.weight / len(run.parent.items or ()),
        sla_met,
        confidence,
        usage,
        merged,
        run.trace.span_id.hex() if run.trace is not None else "",
        tuple([PolicyDecision(note.what, note.why, note.at - run.request.arrived, note.endpoint) for note in run.notes]),
        run.item,
        run.item_key,
    )


def _attempt(attempt: Attempt, run: BranchRun, now: int, deciding: Attempt | None) -> AttemptReport:
    outcome, ended, sent = attempt.outcome, attempt.ended_at, attempt.sent_at
    code, fault, usage, cancelled = 0, "", NOTHING, attempt.cancelled or ended is None
    if isinstance(outcome, Success):
        usage = outcome.usage
    elif outcome is None or outcome.kind is LOCAL_TIMEOUT:
        cancelled = True
        code = int(Code.CANCELLED)
    else:
        code, fault = int(outcome.code), outcome.kind.value
    return AttemptReport(
        attempt.number,
        attempt.kind,
        attempt.endpoint.address if attempt.endpoint is not None else "",
        sent - run.request.arrived,
        max(0, (now if ended is None or ended > now else ended) - sent),
        code,
        fault,
        attempt is deciding and (run.state is SUCCEEDED or (run.state is FELL_BACK and isinstance(outcome, Success))),
        cancelled,
        usage,
        attempt.worker.name,
    )
