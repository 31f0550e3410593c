"""`deep_merge`: maps merged field by field, all the way down, by rules per field.

Options: dotted path → rule. For scalars `plan_order` (default: first in plan order wins), `last`, `error`, `min`, `max`,
`sum`; for lists `concat` (default), `union`, `replace` (the last one in plan order). `plan_order`, `last` and `error` also go
for lists and maps, as a whole. A field with a dot in its name cannot be given a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.blend import Rules, blend
from aggregator.engine.merging import MergeError, Strategy, maps_only, one_of
from aggregator.engine.rules import Rule, fits
from fanmesh.model.values import JsonValue, Value

KIND: Final = "deep_merge"
_NAMES: Final = tuple(rule.value for rule in Rule)
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "Maps merged field by field, by a rule per dotted path; scalars default to plan_order, lists to concat.",
    "type": ["object", "null"],
    "propertyNames": {"pattern": r"^[^.]+(\.[^.]+)*$"},
    "additionalProperties": {"enum": list(_NAMES)},
}


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """Options: dotted path → rule."""
    if not isinstance(options, dict | None):
        raise MergeError((), "expected a map from dotted path to rule, like {address.country: last}")
    rules: Rules = {}
    paths: list[tuple[tuple[str, ...], Rule]] = []
    for dotted, name in (options or {}).items():
        path = tuple(dotted.split("."))
        if not all(path):
            raise MergeError((dotted,), "expected field names with dots between them, like address.country")
        rule = Rule(one_of(name, _NAMES, "rule", (dotted,)))
        _plant(rules, path, rule, dotted)
        paths.append((path, rule))

    def accepts(branch: str, value: Value) -> str | None:
        if (why := maps_only(branch, value)) is not None:
            return why
        for path, rule in paths:
            if why := fits(rule, _at(value, path)):
                return f"{branch}.{'.'.join(path)}: {why}"
        return None

    return Strategy(lambda inputs: blend(inputs, rules), accepts)


def _plant(rules: Rules, path: tuple[str, ...], rule: Rule, dotted: str) -> None:
    """Put a rule at its path, where nothing above or below it may have one: a rule decides its field as a whole."""
    for key in path[:-1]:
        below = rules.setdefault(key, {})
        if isinstance(below, Rule):
            raise MergeError(
                (dotted,), f"a field above it has the rule {below.value}, which decides all of it; keep one of them"
            )
        rules = below
    if path[-1] in rules:
        raise MergeError((dotted,), "fields below it have rules of their own; keep one of them")
    rules[path[-1]] = rule


def _at(value: Value, path: tuple[str, ...]) -> JsonValue:
    """The value at a path; null if there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value  # type: ignore[return-value]  # a path has at least one field, and what is in a map is JSON
