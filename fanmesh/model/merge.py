"""Which merge a plan asks for, and what merges say about disagreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from fanmesh.model.values import JsonValue


class Answer(NamedTuple):
    """What a function of `custom` gets of a branch. `confidence`: 0.0 if none was reported. `defaulted`: it is a default."""

    branch: str
    value: JsonValue
    confidence: float
    defaulted: bool


MergeFunction: TypeAlias = Callable[[Sequence[Answer], JsonValue], object]
"""Answers in plan order and the merge's options → a JSON value, or a tuple of that and a list of Conflicts.

Called in the event loop, perhaps once a snapshot and in another process: it must be quick, and depend on its arguments only.
"""


@dataclass(frozen=True, slots=True)
class MergeSpec:
    """A merge by name. `options` is whatever the merge's own file understands; None = its defaults.

    `function`: what `custom` calls. It never travels: each process has its own, by the name in the options.
    """

    kind: str = "collect"
    options: JsonValue = None
    function: MergeFunction | None = field(default=None, compare=False, repr=False)


class Conflict(NamedTuple):
    """A value on which branches disagreed. `chosen` is empty if the result combines several."""

    path: str
    values: dict[str, JsonValue]
    chosen: str
