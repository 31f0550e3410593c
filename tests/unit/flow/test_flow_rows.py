"""A branch's books as the row of a report."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.flow.rows import row_of
from dispatcher.layers.types import BranchRun
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.request import Request, Tightening
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState, IfMissing
from fanmesh.model.usage import Usage
from tests.kit.story import NoInput, attempt_of

R, S = BranchReason, BranchState
ARRIVED = 1000


@dataclass(frozen=True)
class Span:
    """What an observer leaves with a run."""

    span_id: bytes = bytes.fromhex("0123456789abcdef")
    flags: int = 1


def branch(*, tightening: Tightening | None = None, **fields: object) -> BranchRun:
    """A run of node `geo` that has not begun."""
    node = Node("geo", Worker("w"), **fields)  # type: ignore[arg-type]  # passed on
    request = Request("r", "p", NoInput(), ARRIVED, tightening=tightening or Tightening())
    return BranchRun(request, Plan("p", (node,)), node, 0, 9000, lambda *_: None)


def test_not_sent() -> None:
    """Without a send there is no time, no endpoint, no attempt, and no SLA that could be met."""
    run = branch(sla=10)
    run.state, run.reason = S.SKIPPED, R.CONDITION
    row = row_of(run, ARRIVED + 5, merged=False)
    assert (row.started_after, row.elapsed, row.endpoint, row.attempts, row.sla_met) == (None, None, "", (), None)


def test_running() -> None:
    """A branch that has not ended is PENDING; its time is so far, its SLA not yet decided, its attempt not over."""
    run = branch(sla=10)
    attempt_of(run, ARRIVED + 2)
    run.started_at = ARRIVED + 2
    row = row_of(run, ARRIVED + 7, merged=False)
    assert (row.state, row.started_after, row.elapsed, row.sla_met, row.endpoint) == (S.PENDING, 2, 5, None, "127.0.0.1:50051")
    (one,) = row.attempts
    assert (one.elapsed, one.cancelled, one.code, one.won) == (5, True, Code.CANCELLED, False)


def test_answered() -> None:
    """An answer brings confidence, usage and the winning attempt; its time ends with it, not with the request."""
    run = branch(sla=10, weight=2.5, tightening=Tightening(required=frozenset({"geo"})))
    attempt = attempt_of(run, ARRIVED)
    attempt.outcome = run.outcome = Success(1, 0.5, Usage(1, 2, 3))
    attempt.ended_at = run.ended_at = ARRIVED + 10
    run.started_at, run.state, run.trace = ARRIVED, S.SUCCEEDED, Span()
    row = row_of(run, ARRIVED + 500, merged=True)
    assert (row.elapsed, row.sla_met, row.confidence, row.usage, row.merged) == (10, True, 0.5, Usage(1, 2, 3), True)
    assert (row.required, row.weight, row.span_id, row.code) == (True, 2.5, "0123456789abcdef", 0)
    assert (row.attempts[0].won, row.attempts[0].usage, row.attempts[0].elapsed) == (True, Usage(1, 2, 3), 10)


def test_failed_with_a_default() -> None:
    """A default shows in the state; reason, code and detail stay; the SLA is missed."""
    run = branch(sla=10, if_missing=IfMissing.USE, default=1)
    attempt = attempt_of(run, ARRIVED)
    attempt.endpoint = None
    attempt.outcome = run.outcome = Fault(FaultKind.WORKER_ERROR, Code.NOT_FOUND, "ip")
    attempt.ended_at = run.ended_at = ARRIVED + 3
    run.started_at, run.state, run.reason = ARRIVED, S.FAILED, R.WORKER_ERROR
    row = row_of(run, ARRIVED + 3, merged=True)
    assert (row.state, row.reason, row.code, row.detail, row.sla_met) == (
        S.DEFAULTED,
        R.WORKER_ERROR,
        Code.NOT_FOUND,
        "ip",
        False,
    )
    (one,) = row.attempts
    assert (one.code, one.fault, one.endpoint, one.won, one.cancelled) == (Code.NOT_FOUND, "worker_error", "", False, False)


def test_an_attempt_that_ended_after_the_row() -> None:
    """An attempt that was still being cancelled when its branch had ended is counted up to there only."""
    run = branch()
    attempt = attempt_of(run, ARRIVED)
    attempt.cancelled, attempt.ended_at = True, ARRIVED + 90
    run.started_at, run.ended_at, run.state, run.reason = ARRIVED, ARRIVED + 50, S.TIMED_OUT, R.HARD_TIMEOUT
    (one,) = row_of(run, ARRIVED + 100, merged=False).attempts
    assert (one.elapsed, one.cancelled) == (50, True)


def test_the_transports_own_timer_makes_no_difference() -> None:
    """Whether the transport's timer or flow's alarm came first is chance: the row of a timeout is the same."""
    rows = []
    for outcome in (None, Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, "no answer in time")):
        run = branch()
        attempt = attempt_of(run, ARRIVED)
        attempt.outcome = run.outcome = outcome
        attempt.cancelled, attempt.ended_at = outcome is None, ARRIVED + 50
        run.started_at, run.ended_at, run.state, run.reason = ARRIVED, ARRIVED + 50, S.TIMED_OUT, R.HARD_TIMEOUT
        rows.append(row_of(run, ARRIVED + 50, merged=False))
    assert rows[0] == rows[1]
    assert (rows[0].code, rows[0].detail, rows[0].attempts[0].cancelled) == (0, "", True)
