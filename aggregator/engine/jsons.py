"""Small things that merges do with JSON values: copy, compare, name."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from fanmesh.model.values import JsonValue, Value

CONTAINERS: Final = (dict, list)
"""Looked up once: making the union `dict | list` for every item costs more than copying the item."""


def copied(value: JsonValue) -> JsonValue:
    """A copy that shares no list and no map with `value`."""
    if isinstance(value, dict):
        return {key: copied(item) if isinstance(item, CONTAINERS) else item for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) if isinstance(item, CONTAINERS) else item for item in value]
    return value


def canonical(value: JsonValue) -> Hashable:
    """A key that is equal for values that are equal as JSON: 1 is 1.0, true is not 1, the order of keys says nothing."""
    if isinstance(value, dict):
        return "map", frozenset((key, canonical(item)) for key, item in value.items())
    if isinstance(value, list):
        return "list", tuple(canonical(item) for item in value)
    return isinstance(value, bool), value


def is_number(value: JsonValue) -> bool:
    """Whether it is a JSON number; Python's bool is an int, JSON's is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def what(value: Value) -> str:
    """What it is, for messages: `a list`."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "a map"
        case _:
            return f"an opaque {value.media_type}"
