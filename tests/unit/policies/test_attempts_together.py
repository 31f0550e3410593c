"""Two attempts of a branch that both come to nothing: which of them is the branch's outcome, and what the other one leaves."""

from __future__ import annotations

from dispatcher.model.policy import Hedge, Policy, Retry
from dispatcher.policies.attempts import Attempts, Denied, Launch
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import MS

FIRST, HEDGE = AttemptKind.FIRST, AttemptKind.HEDGE
BROKEN = Fault(FaultKind.STREAM_BROKEN, Code.INTERNAL)
FAILED = Fault(FaultKind.WORKER_ERROR, Code.INTERNAL)


def two() -> Attempts:
    """A hedge flies beside the first attempt."""
    plan = Attempts(Policy("p", Retry(), Hedge()), 1000 * MS, repeatable=True)
    assert plan.decide(0) == Launch(FIRST)
    assert (plan.launched(FIRST, 0), plan.launched(HEDGE, 20 * MS)) == (0, 1)
    return plan


def test_parts_that_may_be_kept_are_more_than_another_failure() -> None:
    """A stream that broke stays the outcome when the attempt beside it fails later; unless what it had was held back."""
    plan = two()
    plan.ended(0, BROKEN, 30 * MS, 0.5)
    plan.ended(1, FAILED, 40 * MS, 0.5)
    assert plan.last is not None
    assert (plan.last.outcome, plan.last.number) == (BROKEN, 0)
    plan = two()
    plan.ended(0, BROKEN, 30 * MS, 0.5, held=True)
    plan.ended(1, FAILED, 40 * MS, 0.5, held=True)
    assert plan.last is not None
    assert (plan.last.outcome, plan.last.number) == (FAILED, 1)


def test_one_that_is_refused_after_another_has_left_keeps_its_number() -> None:
    """The number of the newest one may be given again, for nobody has seen it; that of an older one may not."""
    plan = two()
    plan.refused(0, FIRST, Fault(FaultKind.OVERLOADED, Code.UNAVAILABLE, sent=False))
    assert (plan.count, plan.next_number, plan.flying, plan.why) == (1, 2, {1}, Denied.REFUSED)
    plan.refused(1, HEDGE, Fault(FaultKind.OVERLOADED, Code.UNAVAILABLE, sent=False))
    assert (plan.count, plan.next_number, plan.flying) == (0, 1, set())
    assert plan.last is not None
    assert plan.last.number == -1
