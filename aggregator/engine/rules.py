"""What to do where branches give different values for one field: the rules of `deep_merge`, one function each.

A rule sees the real values of one path, in plan order, null left out. It answers with the value and the branch it was taken
from; an empty branch says that the value combines several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, unique
from fractions import Fraction
from itertools import chain
from math import fsum, inf, isfinite
from typing import Final, TypeAlias

from aggregator.engine.jsons import canonical, is_number, what
from fanmesh.model.values import JsonValue

Given: TypeAlias = Sequence[tuple[str, JsonValue]]
"""(branch, value), at least one, in plan order."""

LEAST: Final = -(1 << 63)
MOST: Final = (1 << 64) - 1
"""Integers beyond int64 and uint64 have no place on the wire."""


class RuleError(ValueError):
    """The rule has no answer for these values."""


@unique
class Rule(Enum):
    """The rules by their names in the configuration. One at a path decides the value there as a whole."""

    PLAN_ORDER = "plan_order"
    LAST = "last"
    ERROR = "error"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    CONCAT = "concat"
    UNION = "union"
    REPLACE = "replace"


def fits(rule: Rule, value: JsonValue) -> str:
    """What the rule would need instead of `value`; empty if it can use it. Null says nothing and fits everywhere."""
    match rule:
        case Rule.SUM if not is_number(value):
            needed = "numbers"
        case Rule.MIN | Rule.MAX if not (is_number(value) or isinstance(value, str)):
            needed = "numbers or strings"
        case Rule.CONCAT | Rule.UNION | Rule.REPLACE if not isinstance(value, list):
            needed = "lists"
        case _:
            return ""
    return "" if value is None else f"{rule.value} needs {needed}, not {what(value)}"


def differ(given: Given) -> bool:
    """Whether the values are not all equal as JSON."""
    return len(given) > 1 and len({canonical(value) for _, value in given}) > 1


def distinct(items: Iterator[JsonValue]) -> list[JsonValue]:
    """Each value once, where it came first."""
    seen = set()
    kept: list[JsonValue] = []
    for item in items:
        if (key := canonical(item)) not in seen:
            seen.add(key)
            kept.append(item)
    return kept


def _first(given: Given) -> tuple[JsonValue, str]:
    branch, value = given[0]
    return value, branch


def _last(given: Given) -> tuple[JsonValue, str]:
    branch, value = given[-1]
    return value, branch


def _agree(given: Given) -> tuple[JsonValue, str]:
    if differ(given):
        raise RuleError("disagree")
    return _first(given)


def _extreme(pick: Callable[..., tuple[JsonValue, str]]) -> Callable[[Given], tuple[JsonValue, str]]:
    def rule(given: Given) -> tuple[JsonValue, str]:
        if len({isinstance(value, str) for _, value in given}) > 1:
            raise RuleError("are numbers and strings, which have no order")
        return pick(((value, branch) for branch, value in given), key=lambda one: one[0])

    return rule


def _sum(given: Given) -> tuple[JsonValue, str]:
    numbers = [value for _, value in given if isinstance(value, int | float)]
    total: int | float
    if all(isinstance(number, int) for number in numbers):
        total = sum(numbers)
        if not LEAST <= total <= MOST:
            raise RuleError("add up to more than 64 bits hold")
    else:
        try:
            total = _rounded_sum(numbers)
        except OverflowError:
            total = inf
        if not isfinite(total):
            raise RuleError("add up to more than a double holds")
    return total, given[0][0] if len(given) == 1 else ""


def _rounded_sum(numbers: Sequence[int | float]) -> float:
    """Exact, and rounded once. OverflowError if no double is near it."""
    doubles = list(map(float, numbers))
    if doubles == numbers:  # no integer has lost a digit
        try:
            return fsum(doubles)
        except OverflowError:
            pass  # perhaps only on the way: it adds in the order given
    return float(sum(map(Fraction, numbers)))


def lists(given: Given) -> Iterator[JsonValue]:
    """All items, in plan order."""
    return chain.from_iterable(value for _, value in given if isinstance(value, list))


APPLY: Final[dict[Rule, Callable[[Given], tuple[JsonValue, str]]]] = {
    Rule.PLAN_ORDER: _first,
    Rule.LAST: _last,
    Rule.ERROR: _agree,
    Rule.MIN: _extreme(min),
    Rule.MAX: _extreme(max),
    Rule.SUM: _sum,
    Rule.CONCAT: lambda given: (list(lists(given)), ""),
    Rule.UNION: lambda given: (distinct(lists(given)), ""),
    Rule.REPLACE: _last,
}

LOSSLESS: Final = frozenset({Rule.CONCAT, Rule.UNION})
"""Rules that keep everything, so that different values are no conflict."""
