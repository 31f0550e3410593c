"""Which merge a plan asks for, and what merges say about disagreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fanmesh.model.values import JsonValue


@dataclass(frozen=True, slots=True)
class MergeSpec:
    """A merge by name. `options` is whatever the merge's own file understands; None = its defaults."""

    kind: str = "collect"
    options: JsonValue = None


class Conflict(NamedTuple):
    """A value on which branches disagreed. `chosen` is empty if the result combines several."""

    path: str
    values: dict[str, JsonValue]
    chosen: str
