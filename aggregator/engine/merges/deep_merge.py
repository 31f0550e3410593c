"""`deep_merge`: maps merged field by field, all the way down, by rules per field.

Options: dotted path → rule. For scalars `plan_order` (default: first in plan order wins), `last`, `error`, `min`, `max`,
`sum`; for lists `concat` (default), `union`, `replace` (the last one in plan order). `plan_order`, `last` and `error` also go
for lists and maps, as a whole. A field with a dot in its name cannot be given a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine import fields
from aggregator.engine.blend import blend
from aggregator.engine.merging import Strategy, maps_only
from fanmesh.model.values import JsonValue, Value

KIND: Final = "deep_merge"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "Maps merged field by field, by a rule per dotted path; scalars default to plan_order, lists to concat.",
    **fields.SCHEMA,
}


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """Options: dotted path → rule."""
    rules = fields.field_rules(options)

    def accepts(branch: str, value: Value) -> str | None:
        return maps_only(branch, value) or rules.unfit(branch, value)

    return Strategy(lambda inputs: blend(inputs, rules.tree), accepts)
