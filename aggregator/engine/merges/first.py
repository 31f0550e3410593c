"""`first`: the answer that came first, whole. The one merge that looks at arrival, and says so.

A default is no answer: it is taken only if nobody answered, and then in plan order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.merging import Merged, MergeInput, Strategy, anything, no_options
from aggregator.engine.whole import chosen
from fanmesh.model.values import JsonValue

KIND: Final = "first"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "The answer that came first; depends on who was fastest.",
    "type": ["object", "null"],
    "maxProperties": 0,
}


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """No options."""
    no_options(KIND, options)
    return Strategy(_combine, anything, needs_fields=False, arrival_dependent=True)


def _combine(inputs: Sequence[MergeInput]) -> Merged:
    return chosen(sorted((one for one in inputs if not one.defaulted), key=lambda one: one.arrival) or inputs)
