"""What must hold for the merges that rank, join, vote and count, over answers that they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.engine.fold import Fold
from aggregator.engine.merges import Merge, Merged, MergeInput, compile_merge
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Alarm, Change, End, Event, FoldNode, Happening, PartArrived, Result, Start
from fanmesh.model.merge import Answer, MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, EmitMode, IfMissing
from fanmesh.model.values import JsonValue, Value
from tests.kit.effort import tries

BRANCHES = ("a", "b", "c", "d")

scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["x", "y"])
)
numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(-1e150, 1e150) | st.sampled_from([0, 0.0, -0.0, 0.1, 0.2, 0.3])
keys = st.sampled_from([1, 1.0, 2, "1", "x", "y", "z"])
words = st.text("xyz", max_size=4)


@st.composite
def records(draw: st.DrawFn) -> dict[str, JsonValue]:
    """A hit or a row: a key, a score, and other things."""
    inner = scalars | st.dictionaries(st.just("y"), scalars)
    rest: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["n", "m", "t"]), inner, max_size=3))
    return {**rest, "id": draw(keys), "score": draw(numbers)}


tables: st.SearchStrategy[Any] = st.none() | st.lists(records(), max_size=5)
rows: st.SearchStrategy[Any] = st.none() | st.lists(
    records(), max_size=5, unique_by=lambda row: (isinstance(row["id"], str), row["id"])
)


def first_and_last(answers: Sequence[Answer], _options: JsonValue) -> object:
    """A merge of one's own: looks at all that it is given."""
    return [[one.branch, one.value, one.confidence, one.defaulted] for one in (*answers[:1], *answers[-1:])]


CASES: list[tuple[MergeSpec, st.SearchStrategy[Any]]] = [
    *(
        (MergeSpec("top_k", {"k": k, "normalise": how, "dedupe": dedupe, "weights": {"b": 0.3}, "keep": ["t", "n"]}), tables)
        for how in ("none", "minmax", "zscore", "rank")
        for dedupe in ("best", "sum")
        for k in (3,)
    ),
    (MergeSpec("top_k", {"k": 50}), tables),
    (MergeSpec("rrf", {"k": 3, "weights": {"c": 0.7}}), tables),
    (MergeSpec("rrf", {"k": 50}), st.lists(keys, max_size=6)),
    (MergeSpec("join_by_key"), rows),
    (MergeSpec("join_by_key", {"how": "inner", "fields": {"n": "last", "score": "sum"}}), rows),
    (MergeSpec("join_by_key", {"how": "left", "left": "b", "fields": {"m": "error"}}), rows),
    (MergeSpec("vote"), scalars),
    (MergeSpec("vote", {"rule": "majority", "path": "t"}), st.fixed_dictionaries({"t": scalars})),
    (MergeSpec("vote", {"rule": "weighted", "weights": {"a": 0.3, "b": 0.1, "c": 0.2}}), st.booleans()),
    (MergeSpec("vote", {"rule": "weighted"}), scalars),
    (MergeSpec("best_confidence", {"min": 0.5}), scalars | tables),
    *((MergeSpec("numeric", {"rule": rule, "stdev": True}), numbers) for rule in ("mean", "median", "min", "max", "sum")),
    (MergeSpec("numeric", {"rule": "weighted_mean"}), st.none() | numbers),
    (MergeSpec("concat_stream", {"separator": "|"}), words),
    (MergeSpec("concat_stream", {"of": "items"}), st.lists(scalars | tables, max_size=3)),
    (MergeSpec("custom", {"call": "here:first_and_last"}, first_and_last), scalars | tables),
]  # fmt: skip
every = pytest.mark.parametrize(("spec", "answers"), CASES, ids=[f"{spec.kind} {spec.options or ''}" for spec, _ in CASES])


@st.composite
def inputs(draw: st.DrawFn, merge: Merge, answers: st.SearchStrategy[Any]) -> list[MergeInput]:
    """Answers that the merge accepts, some of them defaults."""
    found: list[MergeInput] = []
    for branch in draw(st.sets(st.sampled_from(BRANCHES))):
        value, defaulted = draw(answers), draw(st.booleans())
        assert merge.accepts(branch, value) is None
        sure = 0.0 if defaulted else draw(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.9, 1.0]))
        found.append(MergeInput(branch, value, draw(st.integers(0, 9)), defaulted, sure))
    return found


def _bits(value: Value) -> object:
    """A value with its floats as bits and its keys in order, so that equal means identical."""
    if isinstance(value, dict):
        return [(key, _bits(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [_bits(item) for item in value]
    return (type(value), value.hex()) if isinstance(value, float) else (type(value), value)


def _whole(merged: Merged) -> object:
    return (
        _bits(merged.value),
        [(path, _bits(values), chosen) for path, values, chosen in merged.conflicts],
        merged.merged,
        merged.error,
    )


def _containers(value: Value) -> set[int]:
    found: set[int] = set()
    if isinstance(value, dict | list):
        found.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            found |= _containers(item)
    return found


def _finite(value: Value) -> bool:
    if isinstance(value, dict | list):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or (
        -(1 << 63) <= value < 1 << 64 if isinstance(value, int) else math.isfinite(value)
    )


@every
@settings(max_examples=tries(60))
@given(data=st.data())
def test_arrival_decides_nothing(spec: MergeSpec, answers: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """The same answers in any order and with any arrival: value, conflicts, branches and error are the same to the bit."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge, answers))
    shuffled = [one._replace(arrival=data.draw(st.integers(0, 9))) for one in data.draw(st.permutations(given_))]
    assert _whole(merge.merge(given_)) == _whole(merge.merge(shuffled))
    assert not merge.arrival_dependent


@every
@settings(max_examples=tries(40))
@given(data=st.data())
def test_inputs_are_neither_changed_nor_shared(spec: MergeSpec, answers: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Whoever changes a result changes nothing else; what comes out fits on the wire; merging again says the same."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge, answers))
    if merge.strategy.digest is not None:
        given_ = [one._replace(digest=merge.strategy.digest(one.value)) for one in given_]
    before = deepcopy(given_)
    merged = merge.merge(given_)
    assert given_ == before
    held = set().union(*(_containers(one.value) for one in given_))
    assert not held & _containers(merged.value)
    assert not held & set().union(*(_containers(value) for conflict in merged.conflicts for value in conflict.values.values()))
    assert _finite(merged.value)
    assert _whole(merge.merge(given_)) == _whole(merged)


WITH_DEFAULTS = [(spec, answers) for spec, answers in CASES if spec.kind not in {"custom", "concat_stream"}]


@pytest.mark.parametrize(
    ("spec", "answers"), WITH_DEFAULTS, ids=[f"{spec.kind} {spec.options or ''}" for spec, _ in WITH_DEFAULTS]
)
@settings(max_examples=tries(60))
@given(data=st.data())
def test_a_default_overwrites_nothing(spec: MergeSpec, answers: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Conflicts and errors are those of the answers. What was said stays; a default adds hits, rows or fields behind it."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge, answers))
    said = [one for one in given_ if not one.defaulted]
    real, both = merge.merge(said), merge.merge(given_)
    if not any(_speaks(spec, one) for one in said):
        return
    assert (both.conflicts, both.error) == (real.conflicts, real.error)
    assert set(real.merged) <= set(both.merged)
    if spec.kind == "join_by_key" and isinstance(real.value, list) and isinstance(both.value, list):
        rest = iter(both.value)
        assert all(any(_within(row, other) for other in rest) for row in real.value)
    elif isinstance(real.value, list) and isinstance(both.value, list) and spec.kind in {"top_k", "rrf"}:
        assert _bits(both.value[: len(real.value)]) == _bits(real.value)
    else:
        assert _bits(both.value) == _bits(real.value)


def _speaks(spec: MergeSpec, one: MergeInput) -> bool:
    """Whether an answer has something for this merge; if none has, the defaults are all there is."""
    value = one.value
    if isinstance(spec.options, dict) and (left := spec.options.get("left")):
        return one.branch == left
    if isinstance(spec.options, dict) and isinstance(value, dict) and (path := spec.options.get("path")):
        value = value[str(path)]
    return spec.kind not in {"vote", "numeric"} or value is not None


def _within(part: JsonValue, whole: JsonValue) -> bool:
    """Whether all that `part` says is said by `whole` too; null says nothing."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _within(item, whole[key]) for key, item in part.items())
    return part is None or _bits(part) == _bits(whole)


@st.composite
def cuts(draw: st.DrawFn, value: Value) -> list[tuple[bool, JsonValue]]:
    """Parts (replace, value) that make up a value."""
    if isinstance(value, str | list):
        at = draw(st.integers(0, len(value)))
        return [(False, value[:at]), (False, value[at:])]
    return [(False, None), (True, value)]  # type: ignore[list-item]  # an answer here is JSON


@every
@settings(max_examples=tries(40))
@given(data=st.data())
def test_parts_fold_to_what_the_whole_folds_to(spec: MergeSpec, answers: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Streams or whole answers, in any order of parts and endings, with snapshots on the way: one result."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge, answers))
    stories: list[list[Happening]] = []
    plain: list[Happening] = []
    for one in given_:
        if one.defaulted:
            end = End(one.branch, 0, BranchState.FAILED, BranchReason.WORKER_ERROR)
            stories.append([end])
        else:
            parts = data.draw(cuts(one.value))
            told = [PartArrived(one.branch, 0, at, replace, part, one.confidence) for at, (replace, part) in enumerate(parts)]
            stories.append([*told, End(one.branch, 0, BranchState.SUCCEEDED, streamed=True)])
            end = End(one.branch, 0, BranchState.SUCCEEDED, value=one.value, confidence=one.confidence)
        plain.append(end)
    order = data.draw(st.permutations([at for at, story in enumerate(stories) for _ in story]))
    places = [iter(story) for story in stories]
    streamed = [next(places[at]) for at in order]
    assert repr(_folded(spec, given_, streamed)) == repr(_folded(spec, given_, plain))


def _folded(spec: MergeSpec, given_: list[MergeInput], happenings: list[Happening]) -> Result:
    """The result of a request whose branches are in plan order."""
    order = [branch for branch in BRANCHES if branch in {one.branch for one in given_}]
    defaults = {one.branch: one.value for one in given_ if one.defaulted}
    nodes = tuple(
        FoldNode(branch, if_missing=IfMissing.USE, default=defaults[branch]) if branch in defaults else FoldNode(branch)
        for branch in order
    )
    spec = MergeSpec(spec.kind, _for(spec.options, order), spec.function)
    start = Start("r", "p", nodes, 900, 1000, CompletionRule(min_success=0), spec, EmitMode.SNAPSHOT)
    log: list[Happening] = [
        start,
        *(Change(branch, ChangeKind.STARTED) for branch in order),
        *happenings,
        Alarm(AlarmKind.STOP),
    ]
    fold = Fold()
    for seq, what in enumerate(log):
        for effect in fold.apply(Event(seq, seq, what)):
            if isinstance(effect, Result):
                return effect
        if isinstance(what, PartArrived):
            fold.snapshot()
    raise AssertionError("no result")


def _for(options: JsonValue, order: list[str]) -> JsonValue:
    """Options without branches that the plan does not have."""
    if not isinstance(options, dict):
        return options
    weights = options.get("weights")
    known = {branch: weight for branch, weight in weights.items() if branch in order} if isinstance(weights, dict) else None
    return {name: option for name, option in options.items() if name != "left" or option in order} | (
        {"weights": known} if "weights" in options else {}
    )


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_a_mean_is_the_nearest_double(values: list[float]) -> None:
    """Of the exact mean, in whatever order; never an infinity on the way."""
    merge = compile_merge(MergeSpec("numeric"), BRANCHES)
    exact = sum(map(Fraction, values), Fraction()) / len(values)
    for order in (values, values[::-1]):
        given_ = [MergeInput(branch, value, 0) for branch, value in zip(BRANCHES, order, strict=False)]
        assert merge.merge(given_).value == {"value": float(exact), "count": len(values)}
