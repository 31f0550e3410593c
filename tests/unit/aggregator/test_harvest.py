"""What the fold hands to a merge beside the values: confidence, and what the merge has worked out ahead."""

from __future__ import annotations

import pytest

from aggregator.engine.harvest import Harvest
from aggregator.engine.merges import Merge, Merged, MergeInput, Strategy, compile_merge
from aggregator.engine.merging import anything
from fanmesh.model.events import End, FoldNode, PartArrived
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.values import Value

NODES = (FoldNode("a"), FoldNode("b", default="spare"))
SUCCEEDED, PENDING, FAILED, DEFAULTED = BranchState.SUCCEEDED, BranchState.PENDING, BranchState.FAILED, BranchState.DEFAULTED


def _part(seq: int, sure: float | None, *, attempt: int = 0, replace: bool = False) -> PartArrived:
    return PartArrived("a", attempt, seq, replace, f"p{seq}", sure)


def _sure(harvest: Harvest, state: BranchState) -> float:
    return harvest.inputs([state, FAILED])[0].confidence


@pytest.mark.parametrize("said", [None, 0.7])
def test_the_confidence_of_a_whole_answer_is_that_of_its_end(said: float | None) -> None:
    """Nothing said is 0.0; a default says nothing."""
    harvest = Harvest(NODES, compile_merge(MergeSpec("best_confidence"), ("a", "b")))
    harvest.end(0, End("a", 0, SUCCEEDED, value=1, confidence=said), SUCCEEDED)
    given = harvest.inputs([SUCCEEDED, DEFAULTED])
    assert [(one.value, one.confidence, one.defaulted) for one in given] == [(1, said or 0.0, False), ("spare", 0.0, True)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([_part(0, None)], 0.0),
        ([_part(0, 0.3), _part(1, 0.5)], 0.5),
        ([_part(0, 0.3), _part(1, None)], 0.3),
        ([_part(0, 0.3), _part(1, None, replace=True)], 0.0),
        ([_part(0, 0.3), _part(0, 0.9)], 0.3),
        ([_part(0, 0.3), _part(0, None, attempt=1)], 0.0),
        ([_part(0, 0.3, attempt=1), _part(1, 0.9)], 0.3),
    ],
)
def test_the_confidence_of_a_stream_is_what_its_parts_said_last(parts: list[PartArrived], expected: float) -> None:
    """A part that replaces, and a new attempt, take back what was said before; a part that is dropped says nothing.

    So a log whose replaced parts are gone says the same. The end has the last word, if it has one.
    """
    broken = End("a", parts[-1].attempt or parts[0].attempt, FAILED, BranchReason.STREAM_BROKEN, streamed=True)
    for end, state, last in (
        (broken, FAILED, expected),
        (broken._replace(state=SUCCEEDED, reason=BranchReason.NONE), SUCCEEDED, expected),
        (broken._replace(state=SUCCEEDED, reason=BranchReason.NONE, confidence=0.1), SUCCEEDED, 0.1),
    ):
        harvest = Harvest(NODES, compile_merge(MergeSpec("best_confidence"), ("a", "b")))
        for part in parts:
            harvest.part(0, part)
        assert _sure(harvest, PENDING) == expected
        harvest.end(0, end, state)
        assert _sure(harvest, state) == last


def test_what_needs_one_answer_is_worked_out_once_as_it_comes() -> None:
    """Neither the result nor any snapshot does it again; what nobody has worked out is, when it is needed."""
    worked: list[Value] = []

    def digest(value: Value) -> str:
        worked.append(value)
        return f"<{value}>"

    def combine(inputs: object) -> Merged:
        return Merged("".join(one.digest for one in inputs))  # type: ignore[attr-defined]  # inputs

    merge = Merge("own", Strategy(combine, anything, digest=digest), {"a": 0, "b": 1})
    harvest = Harvest(NODES, merge)
    harvest.end(0, End("a", 0, SUCCEEDED, value="x"), SUCCEEDED)
    assert worked == ["x"]
    given = harvest.inputs([SUCCEEDED, PENDING])
    assert [merge.merge(given).value for _ in range(3)] == ["<x>"] * 3
    assert worked == ["x"]
    assert merge.merge([*given, MergeInput("b", "y", 1)]).value == "<x><y>"
