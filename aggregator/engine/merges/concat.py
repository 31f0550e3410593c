"""`concat`: lists one after the other, in plan order. A default's items stand where its branch's would have stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeInput, Strategy, lists_only, no_options
from fanmesh.model.values import JsonValue

KIND: Final = "concat"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "Lists one after the other, in plan order.",
    "type": ["object", "null"],
    "maxProperties": 0,
}


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """No options."""
    no_options(KIND, options)
    return Strategy(_combine, lists_only)


def _combine(inputs: Sequence[MergeInput]) -> Merged:
    items = [copied(item) for one in inputs if isinstance(one.value, list) for item in one.value]
    return Merged(items, (), tuple(one.branch for one in inputs))
