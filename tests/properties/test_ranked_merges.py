"""What must hold for the merges that rank, join, vote and count, over answers that they take."""

from __future__ import annotations

import math
from copy import deepcopy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.engine.merges import Merge, Merged, MergeInput, compile_merge
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue, Value
from tests.kit.effort import tries
from tests.kit.merge_cases import BRANCHES, RANKED, bits, containers, named

every = pytest.mark.parametrize(("spec", "answers"), RANKED, ids=map(named, RANKED))


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


def _whole(merged: Merged) -> object:
    return (
        bits(merged.value),
        [(path, bits(values), chosen) for path, values, chosen in merged.conflicts],
        merged.merged,
        merged.error,
    )


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
    held = set().union(*(containers(one.value) for one in given_))
    assert not held & containers(merged.value)
    assert not held & set().union(*(containers(value) for conflict in merged.conflicts for value in conflict.values.values()))
    assert _finite(merged.value)
    assert _whole(merge.merge(given_)) == _whole(merged)


WITH_DEFAULTS = [(spec, answers) for spec, answers in RANKED if spec.kind not in {"custom", "concat_stream"}]


@pytest.mark.parametrize(("spec", "answers"), WITH_DEFAULTS, ids=map(named, WITH_DEFAULTS))
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
        assert bits(both.value[: len(real.value)]) == bits(real.value)
    else:
        assert bits(both.value) == bits(real.value)


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
    return part is None or bits(part) == bits(whole)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_a_mean_is_the_nearest_double(values: list[float]) -> None:
    """Of the exact mean, in whatever order; never an infinity on the way."""
    merge = compile_merge(MergeSpec("numeric"), BRANCHES)
    exact = sum(map(Fraction, values), Fraction()) / len(values)
    for order in (values, values[::-1]):
        given_ = [MergeInput(branch, value, 0) for branch, value in zip(BRANCHES, order, strict=False)]
        assert merge.merge(given_).value == {"value": float(exact), "count": len(values)}
