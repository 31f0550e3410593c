"""A branch's books as the row of a report."""

from __future__ import annotations

from dispatcher.flow.prepare import is_required
from dispatcher.layers.types import Attempt, BranchRun
from fanmesh.model.endings import with_default
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Success
from fanmesh.model.report import AttemptReport, BranchReport
from fanmesh.model.states import BranchState
from fanmesh.model.usage import NOTHING


def row_of(run: BranchRun, now: int, *, merged: bool) -> BranchReport:
    """The row at `now` (clock time, ns). A branch that has not ended is PENDING, and its elapsed time is so far."""
    node, arrived, started = run.node, run.request.arrived, run.started_at
    last = run.attempts[-1] if run.attempts else None
    ended = now if run.ended_at is None else run.ended_at
    elapsed = sla_met = None
    if started is not None:
        elapsed = ended - started
        if node.sla is not None and run.state is not BranchState.PENDING:
            sla_met = run.state is BranchState.SUCCEEDED and elapsed <= node.sla
    outcome = run.outcome
    success = outcome if isinstance(outcome, Success) else None
    fault = outcome if isinstance(outcome, Fault) else None
    attempts = tuple([_attempt(attempt, run, arrived, ended) for attempt in run.attempts])
    state = with_default(run.state, run.reason, node.if_missing)
    return BranchReport(
        branch=node.id,
        worker=node.worker.name,
        state=state,
        reason=run.reason,
        endpoint=last.endpoint.address if last is not None and last.endpoint is not None else "",
        code=int(fault.code) if fault else 0,
        detail=fault.detail if fault else "",
        attempts=attempts,
        started_after=None if started is None else started - arrived,
        elapsed=elapsed,
        required=is_required(node, run.request),
        weight=node.weight,
        sla_met=sla_met,
        confidence=success.confidence if success else None,
        usage=success.usage if success else NOTHING,
        merged=merged,
        span_id=run.trace.span_id.hex() if run.trace is not None else "",
    )


def _attempt(attempt: Attempt, run: BranchRun, arrived: int, now: int) -> AttemptReport:
    cancelled = attempt.cancelled or attempt.ended_at is None
    code, fault, usage = 0, "", NOTHING
    match attempt.outcome:
        case Success() as success:
            usage = success.usage
        case Fault() as failed:
            code, fault = int(failed.code), failed.kind.value
        case _:
            code = int(Code.CANCELLED)
    return AttemptReport(
        number=attempt.number,
        kind=attempt.kind,
        endpoint=attempt.endpoint.address if attempt.endpoint is not None else "",
        started_after=attempt.sent_at - arrived,
        elapsed=max(0, min(now if attempt.ended_at is None else attempt.ended_at, now) - attempt.sent_at),
        code=code,
        fault=fault,
        won=run.state is BranchState.SUCCEEDED and attempt is run.attempts[-1],
        cancelled=cancelled,
        usage=usage,
    )
