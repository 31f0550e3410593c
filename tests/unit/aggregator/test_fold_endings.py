from __future__ import annotations

from dataclasses import dataclass

import pytest

from fanmesh.model.coverage import degraded
from fanmesh.model.events import FoldNode
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, IfMissing
from fanmesh.model.times import MS
from tests.kit.logs import Story, rule

R, S = BranchReason, BranchState


@dataclass(frozen=True)
class Row:
    """A row of the table of endings: how it came about, and what follows."""

    state: BranchState
    reason: BranchReason
    bit: str = ""
    default: bool = True
    excluded: bool = False


ROWS = [
    Row(S.SUCCEEDED, R.NONE, default=False),
    Row(S.FELL_BACK, R.NONE, default=False),
    Row(S.SKIPPED, R.CONDITION, default=False, excluded=True),
    Row(S.SKIPPED, R.ROLLOUT, default=False, excluded=True),
    Row(S.SKIPPED, R.CONDITION_ERROR, "error", excluded=True),
    Row(S.SKIPPED, R.UPSTREAM_MISSING, "missing_input", excluded=True),
    Row(S.SKIPPED, R.BUDGET, "budget", excluded=True),
    Row(S.SKIPPED, R.NOT_STARTED_NO_TIME, "hard_timeout", excluded=True),
    Row(S.TIMED_OUT, R.HARD_TIMEOUT, "hard_timeout"),
    Row(S.TIMED_OUT, R.REQUEST_DEADLINE, "hard_timeout"),
    Row(S.FAILED, R.WORKER_ERROR, "error"),
    Row(S.FAILED, R.STREAM_BROKEN, "error"),
    Row(S.FAILED, R.INVALID_RESPONSE, "error"),
    Row(S.FAILED, R.TOO_LARGE, "error"),
    Row(S.REJECTED, R.BREAKER_OPEN, "breaker"),
    Row(S.REJECTED, R.OVERLOAD, "overload"),
    Row(S.REJECTED, R.RATE_LIMIT, "overload"),
    Row(S.CANCELLED, R.CALLER_GONE, default=False),
]


def _told(row: Row, if_missing: IfMissing) -> Story:
    """The branch x ends by the row; y answers, so that there is a result."""
    story = Story(FoldNode("x", if_missing=if_missing, default="default"), "y", completion=rule(min_success=0))
    if row.excluded:
        story.exclude("x", row.reason)
    else:
        story.start("x")
        story.fail("x", 10, row.state, row.reason)
    story.ok("y", 20)
    return story


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.state.name}/{row.reason.name}")
def test_an_ending_counts_in_its_own_column(row: Row) -> None:
    """State, counter, denominator and Degraded bit of each ending, without a default."""
    story = _told(row, IfMissing.SKIP)
    assert story.state("x") == (row.state, row.reason)
    succeeded = row.state is S.SUCCEEDED
    assert getattr(story.coverage, row.state.name.lower()) == 1 + succeeded
    assert story.coverage.weight_total == (1 if row.reason in (R.CONDITION, R.ROLLOUT) else 2)
    assert story.coverage.weight_ok == (2 if row.state in (S.SUCCEEDED, S.FELL_BACK) else 1)
    assert degraded([(*story.state("x"), False)]).names() == ((row.bit,) if row.bit else ())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.state.name}/{row.reason.name}")
def test_a_default_stands_in_where_something_is_missing(row: Row) -> None:
    """With `if_missing: use`: DEFAULTED with the reason kept and the default merged, or as it was."""
    story = _told(row, IfMissing.USE)
    assert isinstance(story.result.value, dict)
    if row.default:
        assert story.state("x") == (S.DEFAULTED, row.reason)
        assert story.result.value == {"x": "default", "y": "y"}
        assert (story.coverage.defaulted, story.coverage.ratio) == (1, 0.5)
        assert "defaulted" in degraded([(*story.state("x"), False)]).names()
    else:
        assert story.state("x") == (row.state, row.reason)
        assert story.result.value.get("x") != "default"


def test_left_behind_at_the_soft_timeout() -> None:
    """Running: CANCELLED/SOFT_TIMEOUT; not started: SKIPPED/SOFT_TIMEOUT; with a default DEFAULTED."""
    use = FoldNode("d", if_missing=IfMissing.USE, default=0)
    story = Story("a", "b", "c", use, completion=rule(soft=100))
    story.start("a", "b", "d")
    story.ok("a", 10)
    story.alarm(AlarmKind.PLAN_SOFT, 100)
    assert story.state("b") == (S.CANCELLED, R.SOFT_TIMEOUT)
    assert story.state("c") == (S.SKIPPED, R.SOFT_TIMEOUT)
    assert story.state("d") == (S.DEFAULTED, R.SOFT_TIMEOUT)
    assert (story.coverage.started, story.coverage.planned) == (3, 4)


def test_cut_by_stop() -> None:
    """Running: TIMED_OUT/REQUEST_DEADLINE; not started: SKIPPED/NOT_STARTED_NO_TIME."""
    story = Story("a", "b", "c", stop=100)
    story.start("a", "b")
    story.ok("a", 10)
    story.alarm(AlarmKind.STOP, 100)
    assert story.state("b") == (S.TIMED_OUT, R.REQUEST_DEADLINE)
    assert story.state("c") == (S.SKIPPED, R.NOT_STARTED_NO_TIME)


def test_a_branchs_own_soft_timeout_names_its_ending() -> None:
    """Completed by an ending: who was past its soft timeout was left behind, who was not lost to completion."""
    nodes = ("a", FoldNode("b", soft=50 * MS), FoldNode("c", if_missing=IfMissing.USE, default=0))
    story = Story(*nodes, completion=rule(min_success=2))
    story.start("a", "b", "c")
    story.ok("a", 60)
    assert story.state("b") == (S.PENDING, R.NONE)
    story.ok("c", 70)
    assert story.state("b") == (S.CANCELLED, R.SOFT_TIMEOUT)
