"""What must hold for any merge of any values: arrival decides nothing, and inputs stay as they were."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.engine.accumulate import Accumulator
from aggregator.engine.merges import Merge, MergeInput, compile_merge
from aggregator.engine.rules import Rule
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue, Value
from tests.kit.effort import tries

BRANCHES = ("a", "b", "c", "d")
SPECS = [
    MergeSpec("collect"),
    MergeSpec("priority", ["c"]),
    MergeSpec("namespace", {"a": "x", "b": "x"}),
    MergeSpec("overlay"),
    MergeSpec("deep_merge"),
    *(MergeSpec("deep_merge", {"x": rule.value, "y.x": rule.value}) for rule in Rule),
    MergeSpec("concat"),
    MergeSpec("union"),
    MergeSpec("union", {"key": "x"}),
]

keys = st.sampled_from(["x", "y", "z"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
maps = st.dictionaries(keys, values, max_size=3)
numbers = st.dictionaries(keys, st.integers(-9, 9) | st.floats(-1e6, 1e6), max_size=3)
answers = maps | numbers | st.lists(values, max_size=4) | values


@st.composite
def inputs(draw: st.DrawFn, merge: Merge) -> list[MergeInput]:
    """Values that the merge accepts, some of them defaults."""
    found: list[MergeInput] = []
    for branch in draw(st.sets(st.sampled_from(BRANCHES))):
        value = draw(answers)
        if merge.accepts(branch, value) is None:
            found.append(MergeInput(branch, value, draw(st.integers(0, 9)), draw(st.booleans())))
    return found


def _bits(value: Value) -> object:
    """A value with its floats as bits and its keys in order, so that equal means identical."""
    if isinstance(value, dict):
        return [(key, _bits(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [_bits(item) for item in value]
    return (type(value), value.hex(), math.copysign(1, value)) if isinstance(value, float) else (type(value), value)


def _containers(value: Value) -> set[int]:
    """The identities of all lists and maps in a value."""
    found: set[int] = set()
    if isinstance(value, dict | list):
        found.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            found |= _containers(item)
    return found


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind} {spec.options or ''}")
@settings(max_examples=tries(40))
@given(data=st.data())
def test_arrival_decides_nothing(spec: MergeSpec, data: st.DataObject) -> None:
    """The same inputs in any order and with any arrival: the same value to the bit, conflicts and ids."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge))
    shuffled = [one._replace(arrival=data.draw(st.integers(0, 9))) for one in data.draw(st.permutations(given_))]
    one, other = merge.merge(given_), merge.merge(shuffled)
    assert _bits(one.value) == _bits(other.value)
    assert one == other
    assert not merge.arrival_dependent


@pytest.mark.parametrize("spec", [*SPECS, MergeSpec("first")], ids=lambda spec: f"{spec.kind} {spec.options or ''}")
@settings(max_examples=tries(40))
@given(data=st.data())
def test_inputs_are_neither_changed_nor_shared(spec: MergeSpec, data: st.DataObject) -> None:
    """Whoever changes a result changes nothing else."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge))
    before = deepcopy(given_)
    merged = merge.merge(given_)
    assert given_ == before
    held = set().union(*(_containers(one.value) for one in given_))
    assert not held & _containers(merged.value)
    assert not held & set().union(*(_containers(value) for conflict in merged.conflicts for value in conflict.values.values()))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind} {spec.options or ''}")
@settings(max_examples=tries(40))
@given(data=st.data())
def test_a_default_never_overwrites_and_never_conflicts(spec: MergeSpec, data: st.DataObject) -> None:
    """With defaults added, every conflict and every real field is as it was without them."""
    merge = compile_merge(spec, BRANCHES)
    given_ = data.draw(inputs(merge))
    real = merge.merge([one for one in given_ if not one.defaulted])
    both = merge.merge(given_)
    assert both.conflicts == real.conflicts
    assert both.error == real.error
    assert set(real.merged) <= set(both.merged) or not real.merged
    if isinstance(real.value, dict) and isinstance(both.value, dict):
        assert _within(real.value, both.value)


def _within(part: JsonValue, whole: JsonValue) -> bool:
    """Whether all that `part` says is said by `whole` too; null says nothing."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _within(item, whole[key]) for key, item in part.items())
    return part is None or _bits(part) == _bits(whole)


streams = st.recursive(
    st.text(max_size=6) | st.lists(st.integers(0, 9), max_size=4),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def cuts(draw: st.DrawFn, value: JsonValue) -> tuple[JsonValue, JsonValue]:
    """Two parts that append to `value`."""
    if isinstance(value, dict):
        pairs = {key: draw(cuts(item)) for key, item in value.items()}
        return {key: left for key, (left, _) in pairs.items()}, {key: right for key, (_, right) in pairs.items()}
    assert isinstance(value, str | list)
    at = draw(st.integers(0, len(value)))
    return value[:at], value[at:]


@given(st.data())
def test_splitting_a_stream_does_not_change_its_value(data: st.DataObject) -> None:
    """However an APPEND stream is cut into parts, and whichever of them come twice, it says the same."""
    value = data.draw(streams)
    parts: list[JsonValue] = [value]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(parts) - 1))
        parts[at : at + 1] = data.draw(cuts(parts[at]))
    stream = Accumulator()
    for seq, part in enumerate(parts):
        assert stream.add(0, seq, replace=False, value=part)
        assert not stream.add(0, data.draw(st.integers(0, seq)), replace=False, value=part)
    assert stream.value() == value
