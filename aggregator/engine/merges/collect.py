"""`collect`: a map from branch to result. The safe default: nothing can collide, so nothing is decided for anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeInput, Strategy, json_only, no_options
from fanmesh.model.values import JsonValue, Opaque

KIND: Final = "collect"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "A map from branch to result.",
    "type": ["object", "null"],
    "maxProperties": 0,
}


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """No options."""
    no_options(KIND, options)
    return Strategy(_combine, json_only)


def _combine(inputs: Sequence[MergeInput]) -> Merged:
    value: dict[str, JsonValue] = {one.branch: copied(one.value) for one in inputs if not isinstance(one.value, Opaque)}
    return Merged(value, (), tuple(value))
