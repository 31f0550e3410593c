"""`top_k`: lists of scored hits, merged into the k best.

Scores of different branches are only comparable if they mean the same; else `normalise` them (see `engine/scores`). Hits with
one key are one: `dedupe: best` takes the highest score, `sum` adds them up (CombSUM, Fox and Shaw 1994), which is for scores
that are never negative. Within one branch's list the best hit of a key counts. A hit without a number as its score, or without
a key, is no hit, and its branch's answer is refused.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import fsum
from typing import Final

from aggregator.engine.jsons import what
from aggregator.engine.keys import items_of, key_of, keyless, same
from aggregator.engine.merging import Merged, MergeInput, Strategy
from aggregator.engine.options import Options, Path, dotted, read, schema, unreadable, weights, word
from aggregator.engine.ranking import COMMON, Fusion, Hit, Hits, fuse
from aggregator.engine.rules import LEAST, MOST
from aggregator.engine.scores import NORMALISE, Scores, unscored
from fanmesh.model.values import JsonValue, Value

KIND: Final = "top_k"
SCHEMA: Final = schema(
    "The k best of all branches' hits, by score.",
    **COMMON,
    score=dotted("The field of a hit that holds its score.", "score"),
    normalise=word("How scores of different branches are made comparable.", *NORMALISE),
    dedupe=word("What hits with one key are worth: the best of them, or their sum.", "best", "sum"),
    weights=weights("What a branch's (normalised) scores are multiplied by; 1 if not named."),
)


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: k, key, path, keep, score, normalise, dedupe, weights."""
    o = Options(options, SCHEMA)
    key, path, score = o.path("key"), o.path("path"), o.path("score")
    normalise = NORMALISE[o.word("normalise")]
    weighted = {branch: float(weight) for branch, weight in o.weights("weights", branches).items() if weight != 1}
    fusion = Fusion("scores", max if o.word("dedupe") == "best" else _sum, int(o.number("k")), o.names("keep"))

    def accepts(branch: str, value: Value) -> str | None:
        return unreadable(branch, value, path) or _unfit(".".join((branch, *path)), read(value, path), key, score)

    def digest(value: Value) -> Hits:
        best = _best(read(value, path), key, score)
        points: Scores = normalise([hit.points for _, hit in best]) if best else ()
        return {one: hit._replace(points=worth) for (one, hit), worth in zip(best, points, strict=True)}

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        return fuse([_weighted(one, weighted[one.branch]) if one.branch in weighted else one for one in inputs], fusion)

    return Strategy(combine, accepts, digest=digest)


def _best(hits: JsonValue, key: Path, score: Path) -> list[tuple[Hashable, Hit]]:
    """Hits by key, best first; of equal scores the first in the list."""
    found: dict[Hashable, Hit] = {}
    for item in items_of(hits):
        named, points = key_of(item, key), read(item, score)
        if named is None or not isinstance(points, int | float):
            continue  # `accepts` has looked
        before = found.get(same(named))
        if before is None or points > before.points:
            found[same(named)] = Hit(named, item, points, points)
    return sorted(found.items(), key=lambda pair: -pair[1].points)


def _weighted(one: MergeInput, weight: float) -> MergeInput:
    return one._replace(digest={key: hit._replace(points=hit.points * weight) for key, hit in one.digest.items()})


def _sum(points: Sequence[int | float]) -> int | float:
    """Exact for integers as long as 64 bits hold them, else the nearest double."""
    if all(isinstance(one, int) for one in points) and LEAST <= sum(points) <= MOST:
        return sum(points)
    return fsum(points)


def _unfit(place: str, hits: JsonValue, key: Path, score: Path) -> str | None:
    """Why a list of hits cannot be ranked."""
    if not isinstance(hits, list | None):
        return f"{place} is {what(hits)}, and only lists of hits can be ranked"
    for at, item in enumerate(hits or ()):
        if why := keyless(f"{place}[{at}]", item, key) or unscored(f"{place}[{at}]", item, score):
            return why
    return None
