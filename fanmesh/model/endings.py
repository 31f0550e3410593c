"""What a verdict does to branches that have not ended, and what a default does to those that ended badly.

Both the fold (for coverage and merge) and the dispatcher (for the report) need the same answer, so the table stands here,
between them, instead of twice.
"""

from __future__ import annotations

from typing import Final

from fanmesh.model.states import BranchReason, BranchState, CompletedBy, IfMissing

R, S, C = BranchReason, BranchState, CompletedBy

SATISFIES: Final = frozenset({S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED})
"""States in which a required branch has done its duty."""

NO_DEFAULT: Final = frozenset({R.CONDITION, R.ROLLOUT, R.COMPLETION_MET, R.CALLER_GONE, R.LATE})
"""Reasons for which nothing is missing, so that no default stands in."""


NOT_NEEDED: Final = NO_DEFAULT | {R.SOFT_TIMEOUT}
"""Reasons for which a leaf that has no answer has not failed either."""


FAILURES: Final = frozenset({S.FAILED, S.TIMED_OUT, S.REJECTED})
"""States that are a branch's failure; a default that stands in for it makes it none."""


def leaf_fails(state: BranchState, reason: BranchReason) -> bool:
    """Whether a leaf that has ended so counts among the failures that its node tolerates."""
    return state not in SATISFIES and reason not in NOT_NEEDED


def at_verdict(by: CompletedBy, *, started: bool, soft_passed: bool, write: bool = False) -> tuple[BranchState, BranchReason]:
    """State and reason of a branch that has not ended when the request completes by `by`.

    `soft_passed`: the branch's own soft timeout or the plan's has passed. `write`: it changes something, so once it was sent it
    is left behind and not cancelled. Source: the table of endings.
    """
    match by:
        case C.HARD_TIMEOUT:
            return (S.TIMED_OUT, R.REQUEST_DEADLINE) if started else (S.SKIPPED, R.NOT_STARTED_NO_TIME)
        case _ if write and started:
            return S.PENDING, R.CALLER_GONE if by is C.CALLER_GONE else R.SOFT_TIMEOUT
        case C.CALLER_GONE:
            return S.CANCELLED, R.CALLER_GONE
        case _ if soft_passed:
            return (S.CANCELLED if started else S.SKIPPED), R.SOFT_TIMEOUT
        case _:
            return (S.CANCELLED if started else S.SKIPPED), R.COMPLETION_MET


def at_exclusion(reason: BranchReason, *, must: bool) -> BranchState:
    """State of a node that is excluded before it starts. `must`: required, or `if_missing: fail`.

    SKIPPED, but for a required node whose `if` could not be evaluated: that is a failure, not a wish of the plan; for a list of
    more items than the plan allows; and REJECTED where it is this process that cannot take it on.
    """
    if reason is R.OVERLOAD:
        return S.REJECTED
    if reason is R.TOO_LARGE:
        return S.FAILED
    return S.FAILED if must and reason is R.CONDITION_ERROR else S.SKIPPED


def with_default(state: BranchState, reason: BranchReason, if_missing: IfMissing) -> BranchState:
    """`state`, or DEFAULTED where a default stands in. The reason is kept by the caller."""
    if if_missing is IfMissing.USE and state not in (*SATISFIES, S.PENDING) and reason not in NO_DEFAULT:
        return S.DEFAULTED
    return state
