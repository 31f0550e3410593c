"""`namespace`: each branch's result under its own key. Branches that are given the same key share a map there.

What they share is merged field by field, first in plan order, with the disagreements reported; that is what grouping is for:
the branches of one topic in one place, without a collision between topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.blend import blend
from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy, json_only, maps_only, one_of
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Opaque, Value

KIND: Final = "namespace"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "A map from key to result. Options: the key of each branch, else its id; branches of one key share a map.",
    "type": ["object", "null"],
    "additionalProperties": {"type": "string", "minLength": 1},
}


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: branch → key."""
    if not isinstance(options, dict | None):
        raise MergeError((), "expected a map from branch to key")
    keys = {branch: branch for branch in branches}
    for name, key in (options or {}).items():
        branch = one_of(name, branches, "branch", (name,))
        if not isinstance(key, str) or not key:
            raise MergeError((name,), "expected a key: a string that is not empty")
        keys[branch] = key
    taken = list(keys.values())
    shared = {branch for branch, key in keys.items() if taken.count(key) > 1}

    def accepts(branch: str, value: Value) -> str | None:
        return maps_only(branch, value) if branch in shared else json_only(branch, value)

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        value: dict[str, JsonValue] = {}
        conflicts: list[Conflict] = []
        part_of: set[str] = set()
        groups: dict[str, list[MergeInput]] = {}
        for one in inputs:
            groups.setdefault(keys[one.branch], []).append(one)
        for key, group in groups.items():
            if group[0].branch not in shared:
                value[key] = None if isinstance(group[0].value, Opaque) else copied(group[0].value)
                part_of.add(group[0].branch)
                continue
            blended = blend(group, {})
            value[key] = None if isinstance(blended.value, Opaque) else blended.value
            part_of.update(blended.merged)
            conflicts.extend(conflict._replace(path=f"{key}.{conflict.path}") for conflict in blended.conflicts)
        return Merged(value, tuple(conflicts), tuple(one.branch for one in inputs if one.branch in part_of))

    return Strategy(combine, accepts)
