"""`numeric`: numbers of all branches as one: min, max, sum, mean, median or weighted mean, with how many there were.

Everything is computed exactly, on fractions, and rounded once at the end: no order of addition can show in the last bit. Sums
of integers stay integers. Null is no number and is not counted; a default is counted only if no answer has a number, because a
stand-in must not move a mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import pstdev
from typing import Final, TypeAlias

from aggregator.engine.jsons import is_number, what
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy
from aggregator.engine.options import Options, dotted, flag, read, schema, unreadable, weights, word
from aggregator.engine.rules import APPLY, Rule, RuleError
from fanmesh.model.exact import exact
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Value

KIND: Final = "numeric"
SCHEMA: Final = schema(
    "Numbers of all branches as one, with their count.",
    path=dotted("The field with the number; the whole answer if not given."),
    rule=word("How.", "mean", "median", "min", "max", "sum", "weighted_mean"),
    weights=weights("With `rule: weighted_mean`: a branch's weight, 1 if not named; without it, weights are confidences."),
    stdev=flag("Give the standard deviation as well, with n in the denominator."),
)

Number: TypeAlias = int | float
Weighted: TypeAlias = Sequence[tuple[Number, Fraction]]
"""(number, weight), in plan order, at least one."""


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: path, rule, weights, stdev."""
    o = Options(options, SCHEMA)
    path, rule, spread = o.path("path"), o.word("rule"), o.flag("stdev")
    by_branch = o.weights("weights", branches)
    if rule != "weighted_mean" and o.given("weights") is not None:
        raise MergeError(("weights",), f"say nothing for {rule}; write rule: weighted_mean, or leave them out")
    by_confidence = o.given("weights") is None

    def accepts(branch: str, value: Value) -> str | None:
        if why := unreadable(branch, value, path):
            return why
        found = read(value, path)
        if found is None or is_number(found):
            return None
        return f"{'.'.join((branch, *path))} is {what(found)}, and {rule} needs numbers"

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        cast = [(one, found) for one in inputs if isinstance(found := read(one.value, path), int | float)]
        cast = [(one, found) for one, found in cast if not one.defaulted] or cast
        numbers = [found for _, found in cast]
        used = {one.branch for one, _ in cast} | {one.branch for one in inputs if not one.defaulted}
        merged = tuple(one.branch for one in inputs if one.branch in used)
        value: dict[str, JsonValue] = {"value": None, "count": len(cast)}
        if spread:
            value["stdev"] = pstdev(numbers) if numbers else None
        if numbers and rule == "weighted_mean":
            given = [(found, exact(one.confidence if by_confidence else by_branch[one.branch])) for one, found in cast]
            value["value"] = _weighted_mean(given)
        elif numbers:
            try:
                value["value"] = RULES[rule](numbers)
            except RuleError as failed:
                place = ".".join(path)
                given_by: dict[str, JsonValue] = {one.branch: found for one, found in cast}
                error = f"{place and f'{place}: '}{', '.join(given_by)} {failed}"
                return Merged(None, (Conflict(place, given_by, ""),), (), error)
        return Merged(value, (), merged)

    return Strategy(combine, accepts)


def _mean(numbers: Sequence[Number]) -> Number:
    return float(sum(map(Fraction, numbers)) / len(numbers))


def _median(numbers: Sequence[Number]) -> Number:
    """The one in the middle, as it is; of two, their mean."""
    order, middle = sorted(numbers), len(numbers) // 2
    return order[middle] if len(order) % 2 else _mean(order[middle - 1 : middle + 1])


def _sum(numbers: Sequence[Number]) -> Number:
    total, _ = APPLY[Rule.SUM]([("", number) for number in numbers])
    return total  # type: ignore[return-value]  # numbers add up to one


def _weighted_mean(given: Weighted) -> Number | None:
    """Null if all weights are 0: nobody has said anything then."""
    total = sum((weight for _, weight in given), Fraction())
    return float(sum((Fraction(number) * weight for number, weight in given), Fraction()) / total) if total else None


RULES: Final[dict[str, Callable[[Sequence[Number]], Number]]] = {
    "mean": _mean,
    "median": _median,
    "min": min,
    "max": max,
    "sum": _sum,
}
