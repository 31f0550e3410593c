"""The status of the call itself: the table of the protocol, as a function of the verdict and the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatcher.model.request import Refusal
from fanmesh.model.endings import SATISFIES
from fanmesh.model.events import Result, Verdict
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState, CompletedBy

R, S, C = BranchReason, BranchState, CompletedBy

PASSED_THROUGH: Final = frozenset({Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED})
"""Codes of a single cause that mean the same to the caller as they did to us."""

STOP_RETRYING: Final = -1
"""Pushback: we have done what could be done; a retry one layer up would only multiply the load."""

OURS: Final = frozenset({R.COMPLETION_MET, R.LATE, R.SOFT_TIMEOUT, R.CONDITION, R.ROLLOUT})
"""Reasons that are no cause: the plan did not want the branch, or it was stopped or left behind, as the request was over."""

TIMEOUTS: Final = frozenset({R.HARD_TIMEOUT, R.REQUEST_DEADLINE, R.NOT_STARTED_NO_TIME})


def refusal_of(verdict: Verdict, result: Result, rows: Sequence[BranchReport], *, wrote: bool = False) -> Refusal | None:
    """Why the call fails, or None if the plan accepts the outcome. `wrote`: a write may have been done: not to be repeated."""
    if verdict.accepted:
        if not result.error:
            return None
        return Refusal(Code.ABORTED, "MERGE_CONFLICT", result.error)
    match verdict.completed_by:
        case C.EMPTY:
            return Refusal(Code.FAILED_PRECONDITION, "NOTHING_TO_RUN", _nothing(rows))
        case C.HARD_TIMEOUT:
            late = ", ".join(row.branch for row in rows if row.state not in SATISFIES)
            return Refusal(Code.DEADLINE_EXCEEDED, "DEADLINE", f"time ran out below the plan's floor; missing: {late}")
        case C.CALLER_GONE:
            return Refusal(Code.CANCELLED, "CALLER_GONE", "the caller cancelled")
        case _:
            return _unreachable(rows, Code.ABORTED if wrote else Code.UNAVAILABLE)


def _nothing(rows: Sequence[BranchReport]) -> str:
    """Why no branch was to run."""
    failed = next((row for row in rows if row.reason is R.CONDITION_ERROR and row.detail), None)
    if failed is None:
        return "no branch was to run: every `if` is false"
    return f"no branch was to run; branch {failed.branch}: {failed.detail}"


def _unreachable(rows: Sequence[BranchReport], otherwise: Code) -> Refusal:
    failed = [r for r in rows if r.state not in SATISFIES and r.reason not in OURS]
    defaulted = [r for r in rows if r.state is S.DEFAULTED]  # a default does not cover: it may be what a floor is missing
    causes = [r for r in failed if r.required] or failed or defaulted
    if not causes:
        return Refusal(otherwise, "COMPLETION_UNREACHABLE", "the floor cannot be met", (), STOP_RETRYING)
    first = min(causes, key=lambda r: (r.started_after or 0) + (r.elapsed or 0))
    code = cause_code(first)
    message = f"branch {first.branch}: {first.reason.name}" + (f": {first.detail}" if first.detail else "")
    metadata = (("branch", first.branch), ("cause_code", code.name), ("branch_reason", first.reason.name))
    if len(causes) == 1 and code in PASSED_THROUGH:
        return Refusal(code, "COMPLETION_UNREACHABLE", message, metadata, STOP_RETRYING)
    return Refusal(otherwise, "COMPLETION_UNREACHABLE", message, metadata, STOP_RETRYING)


def cause_code(row: BranchReport) -> Code:
    """The gRPC code that stands for a branch's ending."""
    if row.code:
        return Code(row.code)
    return Code.DEADLINE_EXCEEDED if row.reason in TIMEOUTS else Code.UNKNOWN
