"""Rules per field, as `deep_merge` and `join_by_key` take them: dotted path → rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from aggregator.engine.blend import Rules
from aggregator.engine.merging import MergeError, one_of
from aggregator.engine.options import Path, read
from aggregator.engine.rules import Rule, fits
from fanmesh.model.values import JsonValue, Value

RULES: Final[tuple[str, ...]] = tuple(rule.value for rule in Rule)

SCHEMA: Final[dict[str, JsonValue]] = {
    "type": ["object", "null"],
    "propertyNames": {"pattern": r"^[^.]+(\.[^.]+)*$"},
    "additionalProperties": {"enum": list(RULES)},
    "x-type": "dotted path → rule",
}


class FieldRules(NamedTuple):
    """`tree`: for blending. `paths`: each path that has a rule, with its rule, as they were given."""

    tree: Rules
    paths: Sequence[tuple[Path, Rule]]

    def unfit(self, place: str, value: Value) -> str | None:
        """Why a map at `place` cannot be merged by the rules: the first field that does not fit its own. None = it can."""
        for path, rule in self.paths:
            if why := fits(rule, read(value, path)):
                return f"{place}.{'.'.join(path)}: {why}"
        return None


def field_rules(options: JsonValue, at: Path = ()) -> FieldRules:
    """Options: dotted path → rule. MergeError with `at`, the place of the options, before the path in it."""
    if not isinstance(options, dict | None):
        raise MergeError(at, "expected a map from dotted path to rule, like {address.country: last}")
    tree: Rules = {}
    paths: list[tuple[Path, Rule]] = []
    for dotted, name in (options or {}).items():
        path = tuple(dotted.split("."))
        if not all(path):
            raise MergeError((*at, dotted), "expected field names with dots between them, like address.country")
        rule = Rule(one_of(name, RULES, "rule", (*at, dotted)))
        _plant(tree, path, rule, (*at, dotted))
        paths.append((path, rule))
    return FieldRules(tree, paths)


def _plant(rules: Rules, path: Path, rule: Rule, at: Path) -> None:
    """Put a rule at its path, where nothing above or below it may have one: a rule decides its field as a whole."""
    for key in path[:-1]:
        below = rules.setdefault(key, {})
        if isinstance(below, Rule):
            raise MergeError(at, f"a field above it has the rule {below.value}, which decides all of it; keep one of them")
        rules = below
    if path[-1] in rules:
        raise MergeError(at, "fields below it have rules of their own; keep one of them")
    rules[path[-1]] = rule
