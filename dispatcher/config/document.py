"""A configuration as plain JSON values, with the place of every key and value.

Between the text and its meaning there is this one form, so that a Python mapping goes through the same checks as a file, and
every later message can point at a line without knowing YAML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from dispatcher.config.problems import Path, Problem, Severity, Wrong, dotted, shown
from fanmesh.model.values import JsonValue

MAX_DEPTH: Final = 64
"""Nesting beyond this is no configuration."""

MAX_VALUES: Final = 50_000
"""Keys and values of a document after its aliases are expanded: a few kilobytes of aliases can stand for gigabytes."""


class Mark(NamedTuple):
    """A place in the text, counted from 1."""

    line: int = 0
    column: int = 0


@dataclass(slots=True)
class Document:
    """`values` and `keys`: where the value, and the key that names it, stand.

    `problems`: what was wrong with the text itself. `unread`: the values that could not be read, and are null here.
    """

    filename: str
    value: JsonValue = None
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)

    def problem(
        self, path: Path, message: str, expected: str = "", *, severity: Severity = "error", at_key: bool = False
    ) -> Problem:
        """A problem at `path`. What is not in the text is shown at the closest thing around it that is."""
        mark = (self.keys if at_key else self.values).get(path)
        around = path
        while mark is None and around:
            around = around[:-1]
            mark = self.keys.get(around) or self.values.get(around)
        line, column = mark or Mark()
        return Problem(self.filename, line, column, dotted(path), message, severity, expected)


def check_scalar(value: object) -> None:
    """Refuse what JSON, our own hops and CEL cannot carry. Raises Wrong."""
    match value:
        case bool() | None:
            return
        case int() if not -(2**63) <= value < 2**64:
            raise Wrong("the number is too large", "an integer of at most 64 bits")
        case float() if not math.isfinite(value):
            raise Wrong(f"{value} is not a finite number", "a finite number")
        case str() if any("\ud800" <= char <= "\udfff" for char in value):
            raise Wrong("the text holds half of a surrogate pair", "Unicode text")
        case int() | float() | str():
            return
        case _:
            raise Wrong(f"a Python {type(value).__name__} is no configuration value", "strings, numbers, lists and mappings")


def from_mapping(value: Mapping[str, Any], name: str) -> Document:
    """The document of a configuration written in Python. It has no lines. Its values are copied."""
    document = Document(name)
    document.value = _copy(value, (), document)
    return document


def _copy(value: object, path: Path, document: Document) -> JsonValue:
    match value:
        case _ if len(path) > MAX_DEPTH:
            document.problems.append(document.problem(path, f"nested deeper than {MAX_DEPTH} levels"))
        case Mapping():
            for key in [key for key in value if not isinstance(key, str)]:
                document.problems.append(document.problem(path, f"the key {shown(key)} is not a string"))
            return {key: _copy(item, (*path, key), document) for key, item in value.items() if isinstance(key, str)}
        case Sequence() if not isinstance(value, str | bytes | bytearray):
            return [_copy(item, (*path, position), document) for position, item in enumerate(value)]
        case _:
            try:
                check_scalar(value)
            except Wrong as wrong:
                document.problems.append(document.problem(path, wrong.message, wrong.expected))
                document.unread.add(path)
            else:
                return value  # type: ignore[return-value]  # check_scalar let through what JsonValue allows
    return None
