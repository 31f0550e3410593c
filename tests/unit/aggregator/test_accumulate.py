from __future__ import annotations

import pytest

from aggregator.engine.accumulate import Accumulator, PartError
from fanmesh.model.values import Opaque, Value

BLOB = Opaque("image/png", b"png", is_message=False)


def _appended(*parts: Value) -> Value:
    stream = Accumulator()
    for seq, part in enumerate(parts):
        assert stream.add(0, seq, replace=False, value=part)
    return stream.value()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("Hel", "lo", ""), "Hello"),
        (([1], [], [[2], "x"]), [1, [2], "x"]),
        (
            ({"t": "a", "n": 1}, {"t": "b", "m": {"x": [1]}}, {"m": {"x": [2], "y": True}}),
            {"t": "ab", "n": 1, "m": {"x": [1, 2], "y": True}},
        ),
        ((None, {"x": None}, {"x": 3}, {"x": None}, None), {"x": 3}),
        ((None, BLOB, None), BLOB),
        ((5,), 5),
    ],
)
def test_append_joins(parts: tuple[Value, ...], expected: Value) -> None:
    """Lists and strings concatenate, maps merge by key, null gives way."""
    assert _appended(*parts) == expected


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (1, 2, "the part: a number cannot be appended to a number"),
        ({"x": {"y": True}}, {"x": {"y": True}}, r"x\.y: a boolean cannot be appended to a boolean"),
        ({"x": "s"}, {"z": 1, "x": []}, "x: a list cannot be appended to a string"),
        ([1], "s", "the part: a string cannot be appended to a list"),
        ({}, [1], "the part: a list cannot be appended to a map"),
        (BLOB, BLOB, "the part: an opaque image/png cannot be appended to an opaque image/png"),
    ],
)
def test_append_says_what_cannot_be_joined_and_changes_nothing(first: Value, second: Value, why: str) -> None:
    """The refused part leaves the value as it was, and a later good part still fits."""
    stream = Accumulator()
    stream.add(0, 0, replace=False, value=first)
    with pytest.raises(PartError, match=why):
        stream.add(0, 1, replace=False, value=second)
    assert stream.value() == first
    assert stream.add(0, 1, replace=False, value=None)


def test_replace_is_the_whole_value_so_far() -> None:
    """Whatever was there goes; appending may follow."""
    stream = Accumulator()
    stream.add(0, 0, replace=False, value=[1])
    stream.add(0, 1, replace=True, value="x")
    stream.add(0, 2, replace=False, value="y")
    assert stream.value() == "xy"


def test_duplicates_are_dropped() -> None:
    """A part that comes twice counts once."""
    stream = Accumulator()
    assert stream.add(0, 3, replace=False, value="x")
    assert not stream.add(0, 3, replace=False, value="x")
    assert not stream.add(0, 2, replace=True, value="z")
    assert stream.value() == "x"


def test_attempts_are_never_spliced() -> None:
    """A later attempt starts over, at any part number; an earlier one has nothing more to say."""
    stream = Accumulator()
    stream.add(0, 5, replace=False, value="old")
    assert stream.add(2, 0, replace=False, value=["new"])
    assert not stream.add(1, 6, replace=True, value="older")
    assert (stream.value(), stream.attempt) == (["new"], 2)


def test_values_share_nothing() -> None:
    """Neither with the parts, nor with later parts, nor with each other."""
    part: dict[str, Value] = {"l": [{"x": 1}]}
    stream = Accumulator()
    stream.add(0, 0, replace=False, value=part)  # type: ignore[arg-type]
    early = stream.value()
    stream.add(0, 1, replace=False, value={"l": [2]})
    late = stream.value()
    assert (part, early, late) == ({"l": [{"x": 1}]}, {"l": [{"x": 1}]}, {"l": [{"x": 1}, 2]})
    early["l"][0]["x"] = 9  # type: ignore[index, call-overload]
    assert (part, stream.value()) == ({"l": [{"x": 1}]}, late)


@pytest.mark.parametrize(
    "parts", [("Hel", "lo"), ([1], [{"x": 2}]), ({"t": "a", "l": [[1]]}, {"t": "b", "l": []}), (BLOB,), (5,)]
)
def test_a_glance_is_the_value_and_leaves_it_as_it_is(parts: tuple[Value, ...]) -> None:
    """Reading between parts, often and either way, changes nothing of what comes in the end."""
    stream, untouched = Accumulator(), Accumulator()
    for seq, part in enumerate(parts):
        stream.add(0, seq, replace=False, value=part)
        untouched.add(0, seq, replace=False, value=part)
        assert stream.glance() == stream.value() == stream.glance()
    assert stream.value() == untouched.value()
