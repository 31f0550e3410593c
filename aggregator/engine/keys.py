"""What makes records of different branches the same thing: a key, which is a string or a number."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeAlias

from aggregator.engine.jsons import canonical, is_number, what
from aggregator.engine.options import Path, read
from fanmesh.model.values import JsonValue

Key: TypeAlias = int | float | str


def key_of(item: JsonValue, path: Path) -> Key | None:
    """The key of a record; None if it has none that is a string or a number."""
    value = read(item, path)
    return value if isinstance(value, str) or is_number(value) else None  # type: ignore[return-value]  # is_number is no guard


def same(key: Key) -> Hashable:
    """Equal for keys that are equal as JSON: 1 is 1.0, "1" is neither."""
    return canonical(key)


def in_order(key: Key) -> tuple[bool, Key]:
    """For sorting: numbers first, then strings, each among their own."""
    return isinstance(key, str), key


def keyless(place: str, item: JsonValue, path: Path) -> str | None:
    """Why a record at `place` has no key; None = it has one."""
    if not isinstance(item, dict):
        return f"{place} is {what(item)}, and only a map can have the key {'.'.join(path)}"
    if key_of(item, path) is None:
        found = read(item, path)
        needed = "is missing" if found is None else f"is {what(found)}"
        return f"{place}.{'.'.join(path)} {needed}; a key is a string or a number"
    return None


def items_of(value: JsonValue) -> Iterator[JsonValue]:
    """The items of a list; null has none."""
    return iter(value if isinstance(value, list) else ())
