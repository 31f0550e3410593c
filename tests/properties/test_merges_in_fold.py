"""Every merge through the whole fold: whatever order parts and endings come in, the answers decide and nothing else.

`test_merges` and `test_ranked_merges` ask the merge alone. Here a request is told to the fold as flow tells it: streams that
append or replace, attempts that are superseded, parts that come twice, streams that break, defaults, branches that hang. What
is right at each step is found anew from what the branches have said, by the merge alone and without the fold's memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.engine.fold import Fold
from aggregator.engine.merges import Merge, Merged, MergeInput, compile_merge, merge_schema
from fanmesh.model.completion import CompletionRule
from fanmesh.model.coverage import cover
from fanmesh.model.events import Alarm, Change, Effect, End, Event, FoldNode, Happening, PartArrived, Result, Start, Update
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, EmitMode, IfMissing
from fanmesh.model.values import JsonValue
from tests.kit.effort import tries
from tests.kit.merge_cases import BRANCHES, FIRST, PICKED, PLAIN, RANKED, Case, bits, named

R, S = BranchReason, BranchState
CASES = [*PLAIN, *RANKED, *PICKED]
SURE = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.9, 1.0])
WAYS = ("whole", "whole", "falls back", "streams", "streams", "breaks", "fails", "is not run", "hangs")
"""What a branch may do."""


class Step(NamedTuple):
    """Something that happens to a branch, and what there is of it to merge from then on. `ends`: nothing follows."""

    what: PartArrived | End | Change
    given: MergeInput | None
    ends: bool = False


class Story(NamedTuple):
    """What one branch goes through: step by step, and to the same outcome without its parts. `left`: its input after stop."""

    node: FoldNode
    steps: Sequence[Step]
    plainly: Sequence[Happening]
    left: MergeInput | None

    @property
    def is_run(self) -> bool:
        """Whether its worker is called at all."""
        return not isinstance(self.steps[0].what, Change)


def test_no_merge_is_left_out() -> None:
    """Whoever adds one has to find answers for it."""
    kinds: Any = merge_schema()["anyOf"]
    assert {spec.kind for spec, _ in (*CASES, FIRST)} == set(kinds[1]["properties"])


@pytest.mark.parametrize("case", CASES, ids=named)
@settings(max_examples=tries(40))
@given(data=st.data())
def test_the_order_of_parts_and_endings_decides_nothing(case: Case, data: st.DataObject) -> None:
    """Two orders, and no parts at all: value, conflicts, tallies, branches, error and coverage are the same to the bit."""
    told = data.draw(stories(case))
    plainly = _result(case, told, [what for story in told for what in story.plainly])
    for _ in range(2):
        found = _result(case, told, [step.what for step in data.draw(orders(told))])
        assert _whole(found) == _whole(plainly)
        assert found.coverage == plainly.coverage


@pytest.mark.parametrize("case", [*CASES, FIRST], ids=named)
@settings(max_examples=tries(40))
@given(data=st.data())
def test_a_snapshot_is_a_merge_of_what_there_is(case: Case, data: st.DataObject) -> None:
    """After each event it is what merging anew gives, with its coverage; no change goes untold; the last one is the result."""
    told = data.draw(stories(case))
    merge = compile_merge(case[0], BRANCHES)
    held: dict[str, MergeInput] = {}
    shown: object = bits(merge.merge([]).value)
    order = data.draw(orders(told))
    for at, (fold, effects) in enumerate(_played(case, told, [step.what for step in order])):
        if at < len(order):
            step = order[at]
            held.pop(step.what.branch, None)
            if step.given is not None:
                place = at if step.ends else 1000 + BRANCHES.index(step.what.branch)
                held[step.what.branch] = step.given._replace(arrival=place)
        else:  # stop: of whoever has not ended there is nothing now, or a default
            ended = {step.what.branch for step in order if step.ends}
            held = {branch: one for branch, one in held.items() if branch in ended}
            held |= {story.node.id: story.left for story in told if story.left and story.node.id not in ended}
        if fold.verdict is not None and not fold.verdict.accepted:
            return  # nothing was to run: there is no result, whatever a merge makes of nothing
        expected = merge.merge(list(held.values()))
        value, coverage = fold.snapshot()
        assert bits(value) == bits(expected.value)
        assert coverage == cover((*one, 1.0, story.is_run) for one, story in zip(fold.final_states(), told, strict=True))
        updates = [effect for effect in effects if isinstance(effect, Update)]
        assert updates or bits(expected.value) == shown
        shown = bits(expected.value)
        for effect in effects:
            if isinstance(effect, Result):
                assert _whole(effect) == _whole(expected)
                assert bits(updates[-1].read()[0]) == bits(effect.value)


@settings(max_examples=tries(100))
@given(data=st.data())
def test_first_is_the_first_that_ended(data: st.DataObject) -> None:
    """Of those that have answered, whoever began to stream earlier; a default only if nobody has, then in plan order."""
    told = data.draw(stories(FIRST))
    order = data.draw(orders(told))
    answered = [step.given for step in order if step.ends and step.given is not None and not step.given.defaulted]
    spare = [story.left for story in told if story.left is not None and story.left.defaulted]
    first = next(iter([*answered, *spare]), None)
    result = _result(FIRST, told, [step.what for step in order])
    assert result.merged == (() if first is None else (first.branch,))
    assert bits(result.value) == bits(None if first is None else first.value)


# ------------------------------------------------------------------ telling


@st.composite
def stories(draw: st.DrawFn, case: Case) -> list[Story]:
    """One for each branch, in plan order."""
    merge = compile_merge(case[0], BRANCHES)
    return [draw(_story(merge, branch, case[1])) for branch in BRANCHES]


@st.composite
def orders(draw: st.DrawFn, told: Sequence[Story]) -> list[Step]:
    """All steps, each branch's in their order, the branches' mixed in any way."""
    order = draw(st.permutations([at for at, story in enumerate(told) for _ in story.steps]))
    places = [iter(story.steps) for story in told]
    return [next(places[at]) for at in order]


@st.composite
def _story(draw: st.DrawFn, merge: Merge, branch: str, answers: st.SearchStrategy[Any]) -> Story:
    fits = answers.map(lambda value: value if merge.accepts(branch, value) is None else None)  # null fits everywhere
    node, spare = FoldNode(branch), None
    if draw(st.booleans()):
        node = FoldNode(branch, if_missing=IfMissing.USE, default=draw(fits))
        spare = MergeInput(branch, node.default, 0, defaulted=True)
    value, sure = draw(fits), draw(SURE)
    real = MergeInput(branch, value, 0, confidence=sure)
    way = draw(st.sampled_from(WAYS))
    if way in {"whole", "falls back"}:
        end = End(branch, 0, S.SUCCEEDED if way == "whole" else S.FELL_BACK, value=value, confidence=sure)
        return Story(node, [Step(end, real, ends=True)], [end], real)
    if way == "is not run":
        change = Change(branch, ChangeKind.EXCLUDED, R.CONDITION)
        return Story(node, [Step(change, None, ends=True)], [change], None)
    attempt, parts = draw(_parts(merge, branch, value, sure, answers))
    if way == "hangs":
        return Story(node, parts, [], spare)
    if way == "fails":
        end = End(branch, attempt, S.FAILED, R.WORKER_ERROR)
        return Story(node, [*parts, Step(end, spare, ends=True)], [end], spare)
    if way == "streams":
        plain = End(branch, 0, S.SUCCEEDED, value=value, confidence=sure)
        end = End(branch, attempt, S.SUCCEEDED, streamed=True)
        return Story(node, [*parts, Step(end, real, ends=True)], [plain], real)
    end = End(branch, attempt, S.FAILED, R.STREAM_BROKEN, streamed=True)
    only = PartArrived(branch, attempt, 0, replace=True, value=value, confidence=sure)
    return Story(node, [*parts, Step(end, real, ends=True)], [only, end], real)


@st.composite
def _parts(
    draw: st.DrawFn, merge: Merge, branch: str, value: JsonValue, sure: float, answers: st.SearchStrategy[Any]
) -> tuple[int, list[Step]]:
    """(attempt, its parts) that make up `value`, some of them twice, perhaps after an attempt that is superseded."""
    attempt = draw(st.integers(0, 1))
    told: list[tuple[int, int, bool, JsonValue, JsonValue, float]] = []  # attempt, part_seq, replace, part, so far, confidence
    if attempt:
        told += [(0, at, *part, draw(SURE)) for at, part in enumerate(draw(_cuts(draw(answers))))]
    parts = draw(_cuts(value))
    if draw(st.booleans()):  # something else first, which is then replaced
        other = draw(answers)
        parts = [(True, other, other), (True, *parts[0][1:]), *parts[1:]]
    told += [(attempt, at, *part, draw(SURE)) for at, part in enumerate(parts)]
    told[-1] = (*told[-1][:-1], sure)
    steps: list[Step] = []
    for of, at, replaces, part, so_far, how_sure in told:
        given = MergeInput(branch, so_far, 0, confidence=how_sure) if merge.accepts(branch, so_far) is None else None
        steps.append(Step(PartArrived(branch, of, at, replaces, part, how_sure), given))
        if draw(st.booleans()):  # one of those that have been, again: it says nothing
            steps.append(Step(draw(st.sampled_from(steps)).what, given))
    return attempt, steps


@st.composite
def _cuts(draw: st.DrawFn, value: JsonValue) -> list[tuple[bool, JsonValue, JsonValue]]:
    """Parts that make up a value: (whether it replaces, part, value so far)."""
    if isinstance(value, str | list):
        at = draw(st.integers(0, len(value)))
        return [(False, value[:at], value[:at]), (False, value[at:], value)]
    if isinstance(value, dict):
        at = draw(st.integers(0, len(value)))
        first, rest = dict(list(value.items())[:at]), dict(list(value.items())[at:])
        return [(False, first, first), (False, rest, value)]
    return [(False, None, None), (True, value, value)]


# ------------------------------------------------------------------ folding


def _played(case: Case, told: Sequence[Story], order: Sequence[Happening]) -> Iterator[tuple[Fold, list[Effect]]]:
    """Fold each of these, and then stop unless the request is complete. After each: the fold, and what followed."""
    fold = Fold()
    nodes = tuple(story.node for story in told)
    start = Start("r", "p", nodes, 900, 1000, CompletionRule(min_success=0), case[0], EmitMode.SNAPSHOT)
    run = [story.node.id for story in told if story.is_run]
    opening: list[Happening] = [start, *(Change(branch, ChangeKind.STARTED) for branch in run)]
    for seq, what in enumerate(opening):
        assert fold.apply(Event(seq, 0, what)) == []
    for seq, what in enumerate(order, len(opening)):
        yield fold, fold.apply(Event(seq, 1, what))
    if fold.verdict is None:
        yield fold, fold.apply(Event(10_000, 900, Alarm(AlarmKind.STOP)))


def _result(case: Case, told: Sequence[Story], order: Sequence[Happening]) -> Result:
    """What it comes to, with a snapshot after each event."""
    found: list[Effect] = []
    for fold, effects in _played(case, told, order):
        fold.snapshot()
        found += effects
    (result,) = (effect for effect in found if isinstance(effect, Result))
    return result


def _whole(one: Merged | Result) -> object:
    conflicts = [(path, bits(dict(values)), chosen) for path, values, chosen in one.conflicts]
    return bits(one.value), conflicts, one.merged, one.error
