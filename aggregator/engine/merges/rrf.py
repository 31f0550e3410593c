"""`rrf`: reciprocal rank fusion: a hit is worth Σ weight / (k0 + rank) over the branches that have it.

Cormack, Clarke and Büttcher 2009, with their k0 = 60. It needs no scores, so it fuses lists whose scores mean different things.
Ranks count from 1 in the order of the branch's own list; a key that stands there twice has its first place, and takes none
from the others. A hit may be a bare key instead of a map.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import fsum
from typing import Final

from aggregator.engine.jsons import what
from aggregator.engine.keys import Key, items_of, key_of, keyless, same
from aggregator.engine.merging import Merged, MergeInput, Strategy
from aggregator.engine.options import Options, Path, count, read, schema, unreadable, weights
from aggregator.engine.ranking import COMMON, Fusion, Hit, Hits, fuse
from fanmesh.model.values import JsonValue, Value

KIND: Final = "rrf"
SCHEMA: Final = schema(
    "The k best of all branches' lists by reciprocal rank fusion, Σ weight / (k0 + rank).",
    **COMMON,
    k0=count("How little the first places stand out.", 60, 1_000_000),
    weights=weights("What a branch's list counts for; 1 if not named."),
)


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: k, key, path, keep, k0, weights."""
    o = Options(options, SCHEMA)
    key, path, k0 = o.path("key"), o.path("path"), int(o.number("k0"))
    weighted = o.weights("weights", branches)
    fusion = Fusion("ranks", fsum, int(o.number("k")), o.names("keep"))

    def accepts(branch: str, value: Value) -> str | None:
        return unreadable(branch, value, path) or _unfit(".".join((branch, *path)), read(value, path), key)

    def digest(value: Value) -> Hits:
        found: dict[Hashable, Hit] = {}
        for item in items_of(read(value, path)):
            named = _key(item, key)
            if named is not None and same(named) not in found:
                rank = len(found) + 1
                found[same(named)] = Hit(named, item, rank, 1 / (k0 + rank))
        return found

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        return fuse([_weighted(one, weighted[one.branch], k0) if weighted[one.branch] != 1 else one for one in inputs], fusion)

    return Strategy(combine, accepts, digest=digest)


def _key(item: JsonValue, path: Path) -> Key | None:
    return key_of(item, path) if isinstance(item, dict) else key_of(item, ())


def _weighted(one: MergeInput, weight: float, k0: int) -> MergeInput:
    return one._replace(digest={key: hit._replace(points=weight / (k0 + hit.said)) for key, hit in one.digest.items()})


def _unfit(place: str, hits: JsonValue, path: Path) -> str | None:
    """Why a list cannot be fused."""
    if not isinstance(hits, list | None):
        return f"{place} is {what(hits)}, and only lists can be fused"
    for at, item in enumerate(hits or ()):
        if _key(item, path) is None:
            return keyless(f"{place}[{at}]", item, path)
    return None
