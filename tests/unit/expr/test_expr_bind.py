import dataclasses
import enum
import threading
import types
from decimal import Decimal
from typing import NamedTuple

import pytest

from fanmesh.expr import EvalError, Scope, compile_condition, compile_template
from fanmesh.expr.bind import MAX_BYTES, MAX_COMMAS

INPUT = compile_template("${input}", Scope())
TASK = Scope(frozenset({"task"}), frozenset({"geo"}))


class Colour(enum.StrEnum):
    """A string of a subclass that enums make."""

    RED = "red"


@dataclasses.dataclass
class Point:
    """No JSON, though orjson would write it."""

    x: int


class Pair(NamedTuple):
    """A subclass of tuple."""

    left: int
    right: int


class Whole(int):
    """A subclass of int."""


class Real(float):
    """A subclass of float."""


class Items(list[int]):
    """A subclass of list."""


class Name(str):
    """A subclass of str."""

    __slots__ = ()


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_deep_and_cyclic_data_do_not_end_the_process() -> None:
    """Very deep and endless values, on which the library overflows the stack, are EvalErrors, in a thread too."""
    cycle: list[object] = []
    cycle.append(cycle)
    answers: list[object] = []
    thread = threading.Thread(
        target=lambda: answers.extend(INPUT.evaluate({"input": value}) for value in (nested(100_000), cycle))
    )
    thread.start()
    thread.join()
    assert [type(answer) for answer in answers] == [EvalError, EvalError]


def test_moderately_deep_data_pass() -> None:
    """A hundred levels, more than protobuf accepts, are fine."""
    assert INPUT.evaluate({"input": nested(100)}) == nested(100)


@pytest.mark.parametrize(
    "value",
    [
        "\0",
        "admin\0x",
        {"a\0": 1},
        "\\\0",
        "\ud800",
        {"\udfff": 1},
        2**64,
        -(2**63) - 1,
        Decimal("NaN"),
        Decimal("1e999999"),
        b"x",
        {1},
        {1: 2},
        object(),
        Point(1),
    ],
)
def test_refused(value: object) -> None:
    """NUL, lone surrogates, integers beyond int64 and uint64, and what is no JSON never reach CEL."""
    assert isinstance(INPUT.evaluate({"input": [value]}), EvalError)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        (Decimal("1.5"), 1.5),
        (Colour.RED, "red"),
        (Name("n"), "n"),
        (Pair(1, 2), [1, 2]),
        (Whole(3), 3),
        (Real(0.5), 0.5),
        (Items([1]), [1]),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (types.MappingProxyType({"a": (1,)}), {"a": [1]}),
        ("\\u0000", "\\u0000"),
        ("é😀", "é😀"),
        (True, True),
        (1.0, 1.0),
    ],
)
def test_converted(value: object, plain: object) -> None:
    """Tuples, mappings, enums, subclasses and Decimals become the plain JSON they stand for."""
    out = INPUT.evaluate({"input": value})
    assert out == plain
    assert type(out) is type(plain)


def test_a_nul_never_makes_two_strings_equal() -> None:
    """The library cuts strings at a NUL; an attribute with one is refused rather than compared by its beginning."""
    condition = compile_condition('attributes.task == "admin"', TASK)
    assert isinstance(condition.evaluate({"attributes": {"task": "admin\0x"}}), EvalError)


@pytest.mark.parametrize("value", ["x" * (MAX_BYTES + 1), [0] * (MAX_COMMAS + 2)])
def test_size_is_bounded(value: object) -> None:
    """Values too large to convert without holding up the event loop are EvalErrors."""
    assert isinstance(compile_condition("size(input) > 0", Scope()).evaluate({"input": value}), EvalError)


@pytest.mark.parametrize(
    "activation",
    [
        {"attributes": {"task": 5}},
        {"attributes": [("task", "x")]},
        {"attributes": {"task": "\ud800"}},
        {"branches": {"geo": 5}},
        {"branches": {"geo": {"state": 5}}},
        {"branches": {"geo": {"output": object()}}},
    ],
)
def test_wrong_shapes_are_values(activation: dict[str, object]) -> None:
    """An activation of the wrong shape fails the expression, not the caller."""
    condition = compile_condition("attributes.task == '' && branches.geo.state == '' && branches.geo.output == {}", TASK)
    assert isinstance(condition.evaluate(activation), EvalError)


def test_data_that_looks_like_an_error_is_data() -> None:
    """An error is told by its type: a string that reads like the library's errors stays a string."""
    assert INPUT.evaluate({"input": "NOT_FOUND: Key not found"}) == "NOT_FOUND: Key not found"
