"""Document → models, with every problem at once.

pydantic stops short of a model when one key is wrong, and then nothing could be said about how the others fit together. So
what it refuses is cut out (or, where something must stand there, replaced) and it is asked again. Places that were cut are
remembered, and the checks that follow keep quiet about them: one mistake, one message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from dispatcher.config.document import Document
from dispatcher.config.explain import explain, locate
from dispatcher.config.problems import Path, Problem, Severity, shown
from dispatcher.config.shape import FileShape
from fanmesh.model.values import JsonValue

_ROUNDS: Final = 8
"""Cutting one thing out can at most uncover what it stood in; configurations are not nested deeper than this."""

_STAND_INS: Final[dict[str, Any]] = {
    "version": 1, "workers": {}, "plans": {}, "branch": "unknown", "effect": "read", "plan": "unknown",
    "worker": "unknown", "per_second": 1, "percent": 1, "of": "1ms", "ttl": "1s",
}  # fmt: skip


@dataclass(slots=True)
class Parsed:
    """`shape` is None if nothing could be made of it. `cut`: what was wrong and is not in `shape`."""

    document: Document
    shape: FileShape | None = None
    problems: list[Problem] = field(default_factory=list)
    cut: set[Path] = field(default_factory=set)

    def is_cut(self, path: Path) -> bool:
        """Whether something wrong stood at `path`, or around it."""
        return any(path[:length] in self.cut for length in range(len(path) + 1))

    def complain(self, path: Path, message: str, expected: str = "", *, warning: bool = False, at_key: bool = False) -> None:
        """Add a problem, unless what is there has been complained about already."""
        if not self.is_cut(path):
            severity: Severity = "warning" if warning else "error"
            self.problems.append(self.document.problem(path, message, expected, severity=severity, at_key=at_key))

    def no_duplicates(self, names: Sequence[str], path: Path, kind: str) -> None:
        """Complain about every name of the list at `path` that is given again."""
        seen: Counter[str] = Counter()
        for position, name in enumerate(names):
            seen[name] += 1
            if seen[name] == 2:
                self.complain((*path, position), f"the {kind} {name} is given twice")

    def at(self, *path: str | int) -> JsonValue:
        """What is written at `path`, which leads through mappings; null if there is nothing."""
        node = self.document.value
        for item in path:
            node = node.get(str(item)) if isinstance(node, dict) else None
        return node

    def names(self, *path: str | int) -> list[str]:
        """The keys under `path` as they were written, sound or not."""
        node = self.at(*path)
        return list(node) if isinstance(node, dict) else []


def parse(document: Document) -> Parsed:
    """Read the document into models. What is wrong is in `problems`, those of the text first."""
    parsed = Parsed(document, problems=list(document.problems), cut=set(document.unread))
    if not isinstance(document.value, dict):
        if not parsed.problems:
            what = "the configuration is empty" if document.value is None else f"{shown(document.value)} is no configuration"
            parsed.complain((), what, "a mapping with version, workers and plans")
        return parsed
    value = deepcopy(document.value)
    for _ in range(_ROUNDS):
        try:
            parsed.shape = FileShape.model_validate(value)
        except ValidationError as refused:
            _repair(refused, value, parsed)
        else:
            break
    return parsed


def _repair(refused: ValidationError, value: dict[str, Any], parsed: Parsed) -> None:
    errors = [(locate(error, parsed.document), error) for error in refused.errors(include_url=False)]
    for path, error in errors:
        if not parsed.is_cut(path):
            parsed.problems.append(explain(error, path, parsed.document))
    for path, error in errors:
        parsed.cut.add(path)
        parsed.cut.add(_cut(value, path, missing=error["type"] == "missing"))


def _cut(value: dict[str, Any], path: Path, *, missing: bool) -> Path:
    """Take away what stands at `path`, or put something where it is missing; returns the path of all that went.

    A choice goes with its only key, and a list with a wrong item, so that the places of other items stay as in the text.
    """
    if "until" in path[-3:-1]:
        path = path[:-1] if path[-2] == "until" else path[:-2]
    while path and isinstance(path[-1], int):
        path = path[:-1]
    node: Any = value
    for item in path[:-1]:
        if isinstance(node, dict) and item not in node:
            return path  # gone with what it stood in
        node = node[item]
    node.pop(path[-1], None)
    if missing:
        node[path[-1]] = deepcopy(_STAND_INS.get(str(path[-1])))
    return path
