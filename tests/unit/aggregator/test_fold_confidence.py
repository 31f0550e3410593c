"""`until: {confidence: x}`: somebody is sure enough."""

from __future__ import annotations

import pytest

from fanmesh.model.completion import Until, UntilKind
from fanmesh.model.events import End, FoldNode
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, IfMissing
from tests.kit.logs import Story, rule

C, K, R, S = CompletedBy, UntilKind, BranchReason, BranchState

SURE = rule(Until(K.CONFIDENCE, 0.9))
AT_ONCE = rule(Until(K.CONFIDENCE, 0.9), min_success=0)


@pytest.mark.parametrize("state", [S.SUCCEEDED, S.FELL_BACK])
def test_the_best_answer_decides_and_exactly_is_enough(state: BranchState) -> None:
    """Compared by >=; a fallback that answers is an answer."""
    story = Story("a", "b", "c", completion=SURE)
    story.start("a", "b", "c")
    assert story.ok("a", 10, sure=0.89) == []
    story.add(20, End("b", 0, state, value="b", confidence=0.9))
    assert story.verdict.completed_by is C.CONFIDENCE
    assert story.result.value == {"a": "a", "b": "b"}
    assert story.state("c") == (S.CANCELLED, R.COMPLETION_MET)


def test_who_reports_nothing_is_not_sure() -> None:
    """No confidence is 0.0, and the rule degrades to `all`."""
    story = Story("a", "b", completion=SURE)
    assert story.ok("a", 10) == []
    story.ok("b", 20)
    assert story.verdict.completed_by is C.ALL


def test_the_floor_comes_first() -> None:
    """One that is sure does not outweigh a required one that is missing; once that one has answered, it counts."""
    story = Story("a", FoldNode("b", required=True), "c", completion=SURE)
    story.start("a", "b", "c")
    assert story.ok("a", 10, sure=1.0) == []
    story.ok("b", 20, sure=0.1)
    assert story.verdict.completed_by is C.CONFIDENCE


def test_a_part_counts_with_the_confidence_that_was_said_last() -> None:
    """A running stream may be sure before it ends; a part that says nothing changes nothing, one that takes it back does."""
    story = Story("s", "b", completion=AT_ONCE)
    story.start("s", "b")
    assert story.part("s", 10, ["x"], 0, sure=0.5) == []
    assert story.part("s", 20, ["y"], 1, sure=0.95)[0].completed_by is C.CONFIDENCE  # type: ignore[union-attr]
    assert story.result.value == {"s": ["x", "y"]}
    assert story.state("s") == (S.CANCELLED, R.COMPLETION_MET)

    story = Story("s", FoldNode("b", required=True), completion=AT_ONCE)
    story.start("s", "b")
    story.part("s", 10, ["x"], 0, sure=0.95)
    story.part("s", 20, ["y"], 1)
    story.part("s", 30, ["z"], 2, sure=0.2)
    assert story.ok("b", 40) == []


def test_parts_of_an_attempt_that_was_superseded_no_longer_count() -> None:
    """What replaces the parts replaces what was said of them."""
    story = Story("s", FoldNode("b", required=True), completion=AT_ONCE)
    story.start("s", "b")
    story.part("s", 10, ["x"], 0, sure=0.95)
    story.part("s", 20, ["y"], 0, attempt=1)
    assert story.ok("b", 40) == []


def test_a_stream_that_has_ended_counts_by_its_end() -> None:
    """By what its end says, or else its last part; if it broke it has not answered, though its parts are kept."""
    for ending, by in (
        (End("s", 0, S.SUCCEEDED, streamed=True), C.CONFIDENCE),
        (End("s", 0, S.SUCCEEDED, streamed=True, confidence=0.1), None),
        (End("s", 0, S.FAILED, R.STREAM_BROKEN, streamed=True), None),
        (End("s", 0, S.FAILED, R.WORKER_ERROR), None),
    ):
        story = Story("s", FoldNode("b", required=True), "c", completion=AT_ONCE)
        story.start("s", "b", "c")
        story.part("s", 10, ["x"], 0, sure=0.95)
        story.add(20, ending)
        story.ok("b", 30)
        assert (story.fold.verdict and story.fold.verdict.completed_by) is by


def test_a_default_is_sure_of_nothing() -> None:
    """Nobody said it."""
    story = Story(FoldNode("a", if_missing=IfMissing.USE, default="x"), "b", completion=AT_ONCE)
    story.start("a", "b")
    assert story.add(10, End("a", 0, S.FAILED, R.WORKER_ERROR, confidence=1.0)) == []
