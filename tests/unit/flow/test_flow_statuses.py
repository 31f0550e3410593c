"""The status of the call, as a function of the verdict and the rows."""

from __future__ import annotations

import pytest

from dispatcher.flow.statuses import cause_code, refusal_of
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import Result, Verdict
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState, CompletedBy

R, S, C = BranchReason, BranchState, CompletedBy
NO_RESULT = Result(None, Coverage())


def row(state: BranchState = S.FAILED, reason: BranchReason = R.WORKER_ERROR, **rest: object) -> BranchReport:
    """A row; a failure unless told otherwise."""
    return BranchReport(str(rest.pop("branch", "a")), "w", state, reason, **rest)  # type: ignore[arg-type]  # passed on


def verdict(by: CompletedBy, *, accepted: bool = False) -> Verdict:
    """A verdict."""
    return Verdict(by, 1, 0, accepted)


def test_accepted() -> None:
    """What the plan accepts is OK."""
    assert refusal_of(verdict(C.HARD_TIMEOUT, accepted=True), NO_RESULT, [row()]) is None


def test_accepted_without_a_result() -> None:
    """Accepted, but the merge refuses: ABORTED with its reason."""
    refusal = refusal_of(verdict(C.ALL, accepted=True), NO_RESULT._replace(error="x: disagree"), [])
    assert refusal is not None
    assert (refusal.code, refusal.reason, refusal.message) == (Code.ABORTED, "MERGE_CONFLICT", "x: disagree")


@pytest.mark.parametrize(
    ("by", "code", "reason"),
    [
        (C.EMPTY, Code.FAILED_PRECONDITION, "NOTHING_TO_RUN"),
        (C.HARD_TIMEOUT, Code.DEADLINE_EXCEEDED, "DEADLINE"),
        (C.CALLER_GONE, Code.CANCELLED, "CALLER_GONE"),
        (C.UNREACHABLE, Code.UNAVAILABLE, "COMPLETION_UNREACHABLE"),
    ],
)
def test_the_table(by: CompletedBy, code: Code, reason: str) -> None:
    """Each verdict below the floor has its code and reason."""
    refusal = refusal_of(verdict(by), NO_RESULT, [row()])
    assert refusal is not None
    assert (refusal.code, refusal.reason) == (code, reason)


def test_nothing_to_run_says_what_failed() -> None:
    """An expression that failed is the reason, also if it is no `if`; else every `if` is false."""
    rows = [row(S.SKIPPED, R.CONDITION), row(S.SKIPPED, R.CONDITION_ERROR, branch="b", detail='input: no key "x"')]
    for given, text in ((rows, 'no branch was to run; branch b: input: no key "x"'), (rows[:1], "every `if` is false")):
        refusal = refusal_of(verdict(C.EMPTY), NO_RESULT, given)
        assert refusal is not None
        assert refusal.message.endswith(text)


def test_a_deadline_names_what_is_missing() -> None:
    """DEADLINE names the branches that did not answer, and not those that did."""
    refusal = refusal_of(verdict(C.HARD_TIMEOUT), NO_RESULT, [row(S.SUCCEEDED, R.NONE), row(S.TIMED_OUT, branch="late")])
    assert refusal is not None
    assert refusal.message.endswith("missing: late")


def test_unreachable_blames_the_required() -> None:
    """If required branches failed they are the cause, whatever else failed before."""
    rows = [
        row(branch="a", started_after=0, elapsed=1),
        row(branch="b", required=True, started_after=0, elapsed=9, detail="no"),
    ]
    refusal = refusal_of(verdict(C.UNREACHABLE), NO_RESULT, rows)
    assert refusal is not None
    assert (dict(refusal.metadata)["branch"], refusal.message) == ("b", "branch b: WORKER_ERROR: no")


@pytest.mark.parametrize(
    "left", [row(S.CANCELLED, R.SOFT_TIMEOUT), row(S.PENDING, R.SOFT_TIMEOUT), row(S.CANCELLED, R.COMPLETION_MET)]
)
def test_what_the_verdict_ended_is_no_cause(left: BranchReport) -> None:
    """It ends when the cause does, and stands before it in the plan; nor does it make two causes of one."""
    cause = row(branch="b", code=Code.RESOURCE_EXHAUSTED, started_after=0, elapsed=5)
    left = left._replace(started_after=0, elapsed=5)
    refusal = refusal_of(verdict(C.UNREACHABLE), NO_RESULT, [left, cause])
    assert refusal is not None
    assert (dict(refusal.metadata)["branch"], refusal.code) == ("b", Code.RESOURCE_EXHAUSTED)


def test_unreachable_blames_the_first() -> None:
    """Of several causes the earliest is named."""
    rows = [row(branch="a", started_after=5, elapsed=9), row(branch="b", started_after=8, elapsed=2)]
    refusal = refusal_of(verdict(C.UNREACHABLE), NO_RESULT, rows)
    assert refusal is not None
    assert (dict(refusal.metadata)["branch"], refusal.pushback) == ("b", -1)


def test_unreachable_without_a_cause() -> None:
    """Branches that were not wanted, or left behind by the verdict itself, are no cause."""
    rows = [row(S.SKIPPED, R.CONDITION), row(S.CANCELLED, R.COMPLETION_MET), row(S.SKIPPED, R.ROLLOUT)]
    refusal = refusal_of(verdict(C.UNREACHABLE), NO_RESULT, rows)
    assert refusal is not None
    assert (refusal.code, refusal.metadata, refusal.pushback) == (Code.UNAVAILABLE, (), -1)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (row(code=int(Code.ABORTED)), Code.ABORTED),
        (row(S.TIMED_OUT, R.HARD_TIMEOUT), Code.DEADLINE_EXCEEDED),
        (row(S.TIMED_OUT, R.REQUEST_DEADLINE), Code.DEADLINE_EXCEEDED),
        (row(S.SKIPPED, R.NOT_STARTED_NO_TIME), Code.DEADLINE_EXCEEDED),
        (row(S.FAILED, R.CONDITION_ERROR), Code.UNKNOWN),
    ],
)
def test_the_code_of_a_cause(given: BranchReport, code: Code) -> None:
    """A branch's own code; DEADLINE_EXCEEDED for timeouts; else UNKNOWN."""
    assert cause_code(given) is code


def test_a_timeout_of_the_only_cause_passes_through() -> None:
    """One required branch that timed out makes the call DEADLINE_EXCEEDED."""
    refusal = refusal_of(verdict(C.UNREACHABLE), NO_RESULT, [row(S.TIMED_OUT, R.HARD_TIMEOUT, required=True)])
    assert refusal is not None
    assert (refusal.code, refusal.reason) == (Code.DEADLINE_EXCEEDED, "COMPLETION_UNREACHABLE")
