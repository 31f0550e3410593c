"""Options of a merge, read by the JSON Schema that describes them: names, words, bounds and defaults stand once, in SCHEMA.

No validator library: an engine without dependencies, and a message that says what would be right, with the path, is worth
these lines. Null means the same as leaving an option out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, TypeAlias, TypeGuard

from aggregator.engine.jsons import what
from aggregator.engine.merging import MergeError, one_of
from fanmesh.model.values import JsonValue, Value

Path: TypeAlias = tuple[str, ...]
"""Field names from the outermost map inwards; () is the whole value."""

HEAVIEST: Final = 1_000_000
"""The largest weight of a branch: far beyond use, and no product of it leaves the doubles."""


def schema(description: str, **properties: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """JSON Schema of a merge with these options."""
    return {
        "description": description,
        "type": ["object", "null"],
        "properties": dict(properties),
        "additionalProperties": False,
    }


def word(description: str, *known: str) -> dict[str, JsonValue]:
    """One of these words; the first is the default."""
    return {"description": description, "enum": list(known), "default": known[0]}


def dotted(description: str, default: str | None = None) -> dict[str, JsonValue]:
    """A dotted path."""
    kind: dict[str, JsonValue] = {"description": description, "type": "string", "minLength": 1, "x-type": "dotted path"}
    return kind if default is None else {**kind, "default": default}


def count(description: str, default: int, most: int) -> dict[str, JsonValue]:
    """A whole number from 1."""
    return {"description": description, "type": "integer", "minimum": 1, "maximum": most, "default": default}


def share(description: str) -> dict[str, JsonValue]:
    """A number in [0, 1]; 0 is the default."""
    return {"description": description, "type": "number", "minimum": 0, "maximum": 1, "default": 0}


def flag(description: str) -> dict[str, JsonValue]:
    """Off unless said."""
    return {"description": description, "type": "boolean", "default": False}


def weights(description: str) -> dict[str, JsonValue]:
    """A number per branch."""
    number: JsonValue = {"type": "number", "minimum": 0, "maximum": HEAVIEST}
    return {"description": description, "type": "object", "additionalProperties": number, "x-type": "branch → number"}


class Options:
    """The options as they were given. Each method reads one by its name, or raises MergeError with its path."""

    __slots__ = ("_given", "_known")

    def __init__(self, options: JsonValue, described: dict[str, Any]) -> None:
        self._known: dict[str, Any] = described["properties"]
        names = tuple(self._known)
        if not isinstance(options, dict | None):
            raise MergeError((), f"expected a map of options: {', '.join(names)}")
        self._given = options or {}
        for name in self._given:
            one_of(name, names, "option", (name,))

    def given(self, name: str) -> JsonValue:
        """As it was written, or its default; null if it has none."""
        value = self._given.get(name)
        return self._known[name].get("default") if value is None else value

    def word(self, name: str) -> str:
        """One of the words of its schema."""
        return one_of(self.given(name), self._known[name]["enum"], name, (name,))

    def path(self, name: str) -> Path:
        """A dotted path; () if there is none."""
        value = self.given(name)
        if value is None:
            return ()
        if not isinstance(value, str) or not all(value.split(".")):
            raise MergeError((name,), "expected a dotted path, like hit.id")
        return tuple(value.split("."))

    def number(self, name: str) -> int | float:
        """A number within its bounds; a whole one if its schema says so (2.0 is one in JSON)."""
        value, bounds = self.given(name), self._known[name]
        whole = bounds["type"] == "integer"
        if not _within(value, bounds["minimum"], bounds["maximum"]) or (whole and value % 1 != 0):
            kind = "a whole number" if whole else "a number"
            raise MergeError((name,), f"expected {kind} from {bounds['minimum']} to {bounds['maximum']}")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.given(name)
        if not isinstance(value, bool):
            raise MergeError((name,), "expected true or false")
        return value

    def branch(self, name: str, branches: Sequence[str]) -> str:
        """A branch of the plan; its first one if none is named. Empty if the plan has none."""
        value = self.given(name)
        if value is None:
            return branches[0] if branches else ""
        return one_of(value, branches, "branch", (name,))

    def names(self, name: str) -> tuple[str, ...] | None:
        """A list of names; None if there is none."""
        value = self.given(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise MergeError((name,), "expected a list of field names")
        return tuple(dict.fromkeys(map(str, value)))

    def weights(self, name: str, branches: Sequence[str]) -> dict[str, int | float]:
        """A weight for every branch; 1 for those that are not named."""
        value = self.given(name)
        if not isinstance(value, dict | None):
            raise MergeError((name,), "expected a map from branch to number")
        found: dict[str, int | float] = dict.fromkeys(branches, 1)
        for branch, weight in (value or {}).items():
            one_of(branch, branches, "branch", (name, branch))
            if not _within(weight, 0, HEAVIEST):
                raise MergeError((name, branch), f"expected a number from 0 to {HEAVIEST}")
            found[branch] = weight
        return found


def _within(value: JsonValue, least: float, most: float) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and least <= value <= most


def read(value: Value, path: Path) -> JsonValue:
    """The value at a path; null if there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value  # type: ignore[return-value]  # a merge that reads fields takes no opaque value


def unreadable(branch: str, value: Value, path: Path) -> str | None:
    """Why nothing can be read at the path: something on the way is no map. None = it can; null on the way is a null there."""
    for at, key in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            return f"{'.'.join((branch, *path[:at]))} is {what(value)}, and only a map can have {'.'.join(path[at:])}"
        value = value.get(key)
    return None
