"""Taking one branch's value whole, for the merges that choose instead of combining."""

from __future__ import annotations

from collections.abc import Sequence

from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeInput
from fanmesh.model.values import Opaque


def chosen(best_first: Sequence[MergeInput]) -> Merged:
    """The first one's value; null if there is none at all."""
    if not best_first:
        return Merged(None)
    best = best_first[0]
    return Merged(best.value if isinstance(best.value, Opaque) else copied(best.value), (), (best.branch,))
