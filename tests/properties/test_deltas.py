"""What must hold for the changes of any result: folded they give it back, to the last bit."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
from hypothesis import given
from hypothesis import strategies as st

from fanmesh.model.delta import OpKind, Told, diff, fold, reset, shortest, size
from fanmesh.model.values import JsonValue
from tests.unit.payload.test_delta import covered

README: Final = Path(__file__).resolve().parents[2] / "protos" / "README.md"

keys = st.sampled_from(["", "a", "b", "/", "~", "~1", "a/b", "a.b", "é"]) | st.text(max_size=3)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1) | st.sampled_from([0, 1]),
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0]),
    st.text(max_size=4),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def bits(value: Any) -> bytes:
    """A value to the last bit; the order of keys says nothing."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@st.composite
def grown(draw: st.DrawFn, value: JsonValue) -> JsonValue:
    """What a result may have become a moment later: mostly the same, longer here and there."""
    match value:
        case str() if draw(st.booleans()):
            return value + draw(st.text(max_size=3))
        case list() if draw(st.booleans()):
            return [*value, *draw(st.lists(values, max_size=2))]
        case dict():
            kept = {key: draw(grown(item)) for key, item in value.items() if draw(st.integers(0, 4))}
            return {**kept, **draw(st.dictionaries(keys, values, max_size=1))}
    return value if draw(st.integers(0, 4)) else draw(values)


@st.composite
def histories(draw: st.DrawFn) -> list[JsonValue]:
    """States of one result, in order."""
    states = [draw(values)]
    for _ in range(draw(st.integers(1, 5))):
        states.append(draw(grown(states[-1])))
    return states


@given(values, values)
def test_fold_undoes_diff(before: JsonValue, after: JsonValue) -> None:
    """Any value into any other; neither is changed, and a diff of equal values is empty."""
    kept = deepcopy((before, after))
    ops = diff(before, after)
    assert bits(fold(before, ops)) == bits(after)
    assert bits(kept) == bits((before, after))
    assert (ops == []) == (bits(before) == bits(after))


@given(histories())
def test_a_chain_of_deltas_is_the_last_state(states: list[JsonValue]) -> None:
    """Whatever states a reader missed: the deltas that it got, in order, give what it was told last."""
    for step in (1, 2, 3):
        told, seen = Told(), None
        for state in [*states[::step], states[-1]]:
            if (ops := told.news(state, covered(0))) is not None:
                seen = fold(seen, ops)
                told.heard(state, covered(0))
            assert bits(seen) == bits(state)


@given(histories())
def test_earlier_values_stay_as_they_were(states: list[JsonValue]) -> None:
    """A reader may keep every value it was given: later deltas change none of them."""
    seen: list[Any] = [None]
    ops = reset(states[0])
    for before, after in pairwise(states):
        seen.append(fold(seen[-1], ops))
        ops = shortest(before, after)
    assert [bits(value) for value in seen[1:]] == [bits(state) for state in states[:-1]]


@given(histories())
def test_a_delta_is_never_much_longer_than_the_whole(states: list[JsonValue]) -> None:
    """And is within its limit, unless it is the whole."""
    for before, after in pairwise(states):
        for limit in (20, 1000):
            ops = shortest(before, after, limit)
            assert size(ops) <= size(reset(after))
            assert size(ops) <= limit or ops[0].kind is OpKind.RESET


@given(values, values)
def test_the_fold_that_other_languages_are_told(before: JsonValue, after: JsonValue) -> None:
    """The ten lines in protos/README.md do what ours does."""
    code = re.search(r"```python\n(def fold.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert code is not None
    said: dict[str, Callable[..., Any]] = {}
    exec(code[1], said)  # noqa: S102  (our own text)
    told = [(op.path, op.kind.name, op.value) for op in diff(before, after)]
    assert bits(said["fold"](deepcopy(before), told)) == bits(after)
