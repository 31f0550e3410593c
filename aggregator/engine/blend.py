"""Merging maps field by field, all the way down, with the disagreements written down.

All branches of one field at a time, not one branch after the other into an accumulator: a pairwise merge cannot say who else
disagreed, and needs rules that are associative.

Null says nothing: it never wins over a value and never conflicts. A default fills what is still missing after every real
value has had its say; it never adds to a list and never disagrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeInput
from aggregator.engine.rules import APPLY, LOSSLESS, Given, Rule, RuleError, differ, lists
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue

Rules: TypeAlias = "dict[str, Rules | Rule]"
"""Rules by field; a field without one recurses into maps, concatenates lists, and takes the first scalar in plan order."""


Maps: TypeAlias = "Sequence[tuple[str, dict[str, JsonValue]]]"
"""(branch, map), in plan order."""


class _Findings:
    """What is to be told beside the value."""

    __slots__ = ("conflicts", "errors")

    def __init__(self) -> None:
        self.conflicts: list[Conflict] = []
        self.errors: list[str] = []

    def conflict(self, path: str, given: Given, chosen: str) -> None:
        self.conflicts.append(Conflict(path, {branch: copied(value) for branch, value in given}, chosen))


def blend(inputs: Sequence[MergeInput], rules: Rules) -> Merged:
    """Merge maps (null = an empty one), given in plan order."""
    found = _Findings()
    real = [(one.branch, one.value) for one in inputs if not one.defaulted and isinstance(one.value, dict)]
    value = _maps("", real, rules, found)
    merged = tuple(
        one.branch for one in inputs if not one.defaulted or (isinstance(one.value, dict) and fill(value, one.value))
    )
    if found.errors:
        return Merged(None, tuple(found.conflicts), (), "; ".join(found.errors))
    return Merged(value, tuple(found.conflicts), merged)


def fill(value: dict[str, JsonValue], default: dict[str, JsonValue]) -> bool:
    """Put into `value` what only `default` has. Whether there was anything."""
    filled = False
    for key, item in default.items():
        present = value.get(key)
        if present is None and item is not None:
            value[key] = copied(item)
            filled = True
        elif isinstance(present, dict) and isinstance(item, dict):
            filled |= fill(present, item)
    return filled


def _maps(path: str, given: Maps, rules: Rules, found: _Findings) -> dict[str, JsonValue]:
    fields: dict[str, list[tuple[str, JsonValue]]] = {}
    for branch, value in given:
        for key, item in value.items():
            of_key = fields.setdefault(key, [])
            if item is not None:
                of_key.append((branch, item))
    return {
        key: _field(f"{path}.{key}" if path else key, of_key, rules.get(key), found) if of_key else None
        for key, of_key in fields.items()
    }


def _field(path: str, given: Given, rules: Rules | Rule | None, found: _Findings) -> JsonValue:
    if isinstance(rules, Rule):
        return _ruled(path, given, rules, found)
    branch, first = given[0]
    if len(given) == 1 and not rules:
        return copied(first)
    if not isinstance(first, dict | list):
        if differ(given):
            found.conflict(path, given, branch)
        return copied(first)
    if any(type(value) is not type(first) for _, value in given):  # a map here and a scalar there is a disagreement too
        found.conflict(path, given, branch)
    if isinstance(first, list):
        return copied(list(lists(given)))
    return _maps(path, [(name, value) for name, value in given if isinstance(value, dict)], rules or {}, found)


def _ruled(path: str, given: Given, rule: Rule, found: _Findings) -> JsonValue:
    try:
        value, chosen = APPLY[rule](given)
    except RuleError as failed:
        found.errors.append(f"{path}: {', '.join(branch for branch, _ in given)} {failed}")
        found.conflict(path, given, "")
        return None
    if rule not in LOSSLESS and differ(given):
        found.conflict(path, given, chosen)
    return copied(value)
