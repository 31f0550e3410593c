"""Deltas, case by case: what cannot be folded, what is the same, and how long a value is."""

from __future__ import annotations

import pytest

from fanmesh.model.delta import Op, OpKind, Unfoldable, diff, fold, shortest, size
from fanmesh.model.values import JsonValue, Opaque, Value


@pytest.mark.parametrize(
    "op",
    [
        Op("", OpKind.REMOVE, None),
        Op("/a", OpKind.RESET, 1),
        Op("a", OpKind.SET, 1),
        Op("/a", OpKind.SET, Opaque("x", b"1", is_message=False)),
    ],
)
def test_what_cannot_be_folded_is_said(op: Op) -> None:
    """The whole cannot be taken away, only the whole can be reset, paths begin with a slash, and nothing opaque is inside."""
    with pytest.raises(Unfoldable):
        fold({"a": 2}, [op])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a", "a"),
        ({"a": "x"}, {"a": "x"}),
        ([{"a": 1, "b": 2}, 0], [{"a": 1}, 0]),
        ({"l": [{"a": 1}]}, {"l": [{"a": 1, "b": 2}]}),
        ({"a": 1}, {"a": True}),
        ({"a": 0.0}, {"a": -0.0}),
        ([{"a": 1}, 0], [{"a": 2}, 0]),
        ("ab", "cd"),
        ("ab", "xab"[1:]),  # equal, and not the same object
        ({"n": 10**12}, {"n": int("1" + 12 * "0")}),
    ],
)
def test_a_difference_folds_back(before: JsonValue, after: JsonValue) -> None:
    """Equal as JSON to the last bit, or told."""
    ops = diff(before, after)
    assert repr(fold(before, ops)) == repr(after)
    assert bool(ops) == (repr(before) != repr(after))


def test_what_nobody_can_open_is_given_as_a_whole() -> None:
    """Neither before nor after has fields to tell apart."""
    whole: Value = Opaque("x", b"22", is_message=False)
    assert fold({"a": 1}, diff({"a": 1}, whole)) == whole
    assert fold(whole, diff(whole, "é" * 3)) == "é" * 3
    assert shortest({"a": 1}, whole) == (Op("", OpKind.RESET, whole),)
    assert size(diff({"a": 1}, whole)) >= 2
