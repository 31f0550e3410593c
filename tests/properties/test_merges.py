"""What must hold for any merge of any values: arrival decides nothing, and inputs stay as they were."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.engine.accumulate import Accumulator
from aggregator.engine.merges import Merge, MergeInput, compile_merge
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue
from tests.kit.effort import tries
from tests.kit.merge_cases import BRANCHES, PLAIN, anything, bits, containers, fields

SPECS = [spec for spec, _ in PLAIN]


@st.composite
def inputs(draw: st.DrawFn, merge: Merge) -> list[MergeInput]:
    """Values that the merge accepts, some of them defaults."""
    found: list[MergeInput] = []
    for branch in draw(st.sets(st.sampled_from(BRANCHES))):
        value = draw(anything)
        if merge.accepts(branch, value) is None:
            found.append(MergeInput(branch, value, draw(st.integers(0, 9)), draw(st.booleans())))
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
    assert bits(one.value) == bits(other.value)
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
    held = set().union(*(containers(one.value) for one in given_))
    assert not held & containers(merged.value)
    assert not held & set().union(*(containers(value) for conflict in merged.conflicts for value in conflict.values.values()))


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
    return part is None or bits(part) == bits(whole)


streams = st.recursive(
    st.text(max_size=6) | st.lists(st.integers(0, 9), max_size=4),
    lambda inner: st.dictionaries(fields, inner, max_size=3),
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
