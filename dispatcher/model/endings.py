"""What an attempt's outcome means for its branch: the first half of the table of endings, as a table."""

from __future__ import annotations

from typing import Final

from fanmesh.model.fault import Fault, FaultKind
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import BranchReason, BranchState

K, R, S = FaultKind, BranchReason, BranchState

OF_FAULT: Final[dict[FaultKind, tuple[BranchState, BranchReason]]] = {
    K.WORKER_ERROR: (S.FAILED, R.WORKER_ERROR),
    K.CANCELLED: (S.FAILED, R.WORKER_ERROR),  # of one attempt; a branch that we cancel has its own endings
    K.INVALID_RESPONSE: (S.FAILED, R.INVALID_RESPONSE),
    K.TOO_LARGE: (S.FAILED, R.TOO_LARGE),
    K.STREAM_BROKEN: (S.FAILED, R.STREAM_BROKEN),
    K.NO_TIME: (S.SKIPPED, R.NOT_STARTED_NO_TIME),
    K.LOCAL_TIMEOUT: (S.TIMED_OUT, R.HARD_TIMEOUT),
    K.BREAKER_OPEN: (S.REJECTED, R.BREAKER_OPEN),
    K.OVERLOADED: (S.REJECTED, R.OVERLOAD),
    K.RATE_LIMITED: (S.REJECTED, R.RATE_LIMIT),
}


def ending_of(outcome: Outcome) -> tuple[BranchState, BranchReason]:
    """State and reason of a branch whose last attempt ended so. What stands in for an answer keeps the reason."""
    if isinstance(outcome, Fault):
        return OF_FAULT[outcome.kind]
    return (S.SUCCEEDED, R.NONE) if outcome.instead is None else (S.FELL_BACK, OF_FAULT[outcome.instead.kind][1])
