"""`union`: lists joined in plan order, each item once.

Items are the same if they are equal as JSON, or, with `key`, if their values at that dotted path are. Of items with one key
the first in plan order stays, and that others differ is reported. An item without the key is compared as a whole. Items of
defaults come last, so that they never take the place of a real one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, TypeAlias

from aggregator.engine.jsons import canonical, copied
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy, lists_only
from aggregator.engine.options import dotted
from aggregator.engine.rules import differ
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Value

KIND: Final = "union"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "Lists joined in plan order, each item once; `key` is the dotted path of what makes items the same.",
    "type": ["object", "null"],
    "properties": {"key": dotted("The field that makes items the same; the whole item if not given.")},
    "additionalProperties": False,
}

Keyed: TypeAlias = Sequence[tuple[Hashable, str, JsonValue]]
"""Of each item: what makes it the same as others, how a conflict names it, the item."""


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """Options: {key: dotted path}."""
    if not isinstance(options, dict | None):
        raise MergeError((), "expected {key: a dotted path}, or no options")
    for name in options or {}:
        if name != "key":
            raise MergeError((name,), "no such option; there is key")
    given = (options or {}).get("key")
    if given is not None and (not isinstance(given, str) or not all(given.split("."))):
        raise MergeError(("key",), "expected a dotted path, like hit.id")
    path = tuple(given.split(".")) if given else ()
    return Strategy(_combine, lists_only, digest=lambda value: _keyed(value, path))


def _keyed(value: Value, path: tuple[str, ...]) -> Keyed:
    """What makes each item of a list the same as others costs more than all the rest, and needs one answer only."""
    return [(*_key(item, path), item) for item in value] if isinstance(value, list) else []


def _combine(inputs: Sequence[MergeInput]) -> Merged:
    found: dict[Hashable, dict[str, JsonValue]] = {}
    names: dict[Hashable, str] = {}
    for one in sorted(inputs, key=lambda one: one.defaulted):
        for key, name, item in one.digest:
            names.setdefault(key, name)
            given = found.setdefault(key, {})
            if not given or not one.defaulted:
                given.setdefault(one.branch, item)
    conflicts = tuple(
        Conflict(names[key], {branch: copied(item) for branch, item in given.items()}, next(iter(given)))
        for key, given in found.items()
        if differ(tuple(given.items()))
    )
    return Merged(
        [copied(next(iter(given.values()))) for given in found.values()], conflicts, tuple(one.branch for one in inputs)
    )


def _key(item: JsonValue, path: tuple[str, ...]) -> tuple[Hashable, str]:
    """What makes an item the same as another one, and how a conflict names it."""
    value = item
    for field in path:
        value = value.get(field) if isinstance(value, dict) else None
    if not path or value is None:
        return canonical(item), ""
    return ("key", canonical(value)), f"[{'.'.join(path)}={value}]"
