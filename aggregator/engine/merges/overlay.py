"""`overlay`: maps laid over each other in plan order, whole fields, and the later branch wins.

Only the top level: a field is taken whole, so nobody has to think about halves of two answers. Fields on which real answers
differ are reported. Null hides nothing, and a default fills only fields that no answer has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeInput, Strategy, maps_only, no_options
from aggregator.engine.rules import differ
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue

KIND: Final = "overlay"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "Maps laid over each other, whole fields; of two branches the later one in plan order wins.",
    "type": ["object", "null"],
    "maxProperties": 0,
}


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """No options."""
    no_options(KIND, options)
    return Strategy(_combine, maps_only)


def _combine(inputs: Sequence[MergeInput]) -> Merged:
    fields: dict[str, list[tuple[str, JsonValue]]] = {}
    for one in inputs:
        if isinstance(one.value, dict) and not one.defaulted:
            for key, item in one.value.items():
                given = fields.setdefault(key, [])
                if item is not None:
                    given.append((one.branch, item))
    value = {key: copied(given[-1][1]) if given else None for key, given in fields.items()}
    conflicts = tuple(
        Conflict(key, {branch: copied(item) for branch, item in given}, given[-1][0])
        for key, given in fields.items()
        if differ(given)
    )
    return Merged(value, conflicts, tuple(one.branch for one in inputs if not one.defaulted or _filled(value, one)))


def _filled(value: dict[str, JsonValue], default: MergeInput) -> bool:
    """Whether the default had a field that nobody else has; it has been put in."""
    fields = default.value if isinstance(default.value, dict) else {}
    missing = [key for key, item in fields.items() if item is not None and value.get(key) is None]
    value.update((key, copied(fields[key])) for key in missing)
    return bool(missing)
