"""What `top_k` and `rrf` share: hits of many lists fused into one list, best first.

Ties: score, then plan order (of the branch whose hit is shown), then key; numbers before strings. So no two hits are ever
equal, and no sort can depend on which came first. Hits of defaults follow the real ones, among themselves by the same rule, and
only where no answer has their key: a list that stands in for another must not push real hits out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from aggregator.engine.jsons import copied
from aggregator.engine.keys import Key, in_order
from aggregator.engine.merging import Merged, MergeInput
from aggregator.engine.options import count, dotted
from aggregator.engine.rules import differ
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue

MOST: Final = 100_000
"""Of hits in a result: more than a reply holds."""

COMMON: Final[dict[str, dict[str, JsonValue]]] = {
    "k": count("How many hits the result has at most.", 10, MOST),
    "key": dotted("The field of a hit that says which thing it is, a string or a number.", "id"),
    "path": dotted("Where the list of hits stands in an answer; the whole answer if not given."),
    "keep": {
        "description": "Fields of a hit that the result keeps; all if not given, none if empty.",
        "type": "array",
        "items": {"type": "string", "minLength": 1},
    },
}
"""Options of every ranked merge."""


class Hit(NamedTuple):
    """A hit of one branch. `said`: what the result says the branch said of it; `points`: what that is worth."""

    key: Key
    item: JsonValue
    said: int | float
    points: int | float


Hits: TypeAlias = Mapping[Hashable, Hit]
"""A branch's hits by key, best first."""


class Fusion(NamedTuple):
    """How hits with one key become one. `said`: the name in the result of what each branch said."""

    said: str
    combine: Callable[[Sequence[int | float]], int | float]
    k: int
    keep: tuple[str, ...] | None


class _Fused(NamedTuple):
    score: int | float
    shown: int  # the input whose hit is shown
    hits: Sequence[tuple[int, Hit]]  # (input, hit), in plan order
    tied: bool = False


def fuse(inputs: Sequence[MergeInput], fusion: Fusion) -> Merged:
    """One list out of the inputs' hits (`digest`)."""
    found = _ranked(inputs, fusion, {}, defaulted=False)
    if len(found) < fusion.k:
        found |= _ranked(inputs, fusion, found, defaulted=True)
    value: list[JsonValue] = []
    conflicts: list[Conflict] = []
    used = {at for at, one in enumerate(inputs) if not one.defaulted}
    for fused in islice(found.values(), fusion.k):
        value.append(_item(inputs, fusion, fused))
        used.update(at for at, _ in fused.hits)
        if fusion.keep and len(fused.hits) > 1 and not inputs[fused.shown].defaulted:
            conflicts += _conflicts(inputs, fusion.keep, fused)
    return Merged(value, tuple(conflicts), tuple(one.branch for at, one in enumerate(inputs) if at in used))


def _ranked(
    inputs: Sequence[MergeInput], fusion: Fusion, taken: Container[Hashable], *, defaulted: bool
) -> dict[Hashable, _Fused]:
    """All hits of the real inputs, or of the defaults without those whose key is taken, best first."""
    hits: dict[Hashable, list[tuple[int, Hit]]] = {}
    for at, one in enumerate(inputs):
        if one.defaulted is defaulted:
            for key, hit in one.digest.items():
                if key not in taken:
                    hits.setdefault(key, []).append((at, hit))
    found = {key: _fused(of_key, fusion) for key, of_key in hits.items()}
    often = Counter(one.score for one in found.values())
    order = sorted(found.items(), key=lambda pair: _order(pair[1]))
    return {key: one._replace(tied=True) if often[one.score] > 1 else one for key, one in order}


def _fused(hits: Sequence[tuple[int, Hit]], fusion: Fusion) -> _Fused:
    shown, best = hits[0]
    for at, hit in hits:
        if hit.points > best.points:
            shown, best = at, hit
    return _Fused(fusion.combine([hit.points for _, hit in hits]), shown, hits)


def _order(fused: _Fused) -> tuple[int | float, int, tuple[bool, Key]]:
    return -fused.score, fused.shown, in_order(fused.hits[0][1].key)


def _item(inputs: Sequence[MergeInput], fusion: Fusion, fused: _Fused) -> JsonValue:
    shown = next(hit for at, hit in fused.hits if at == fused.shown)
    said: JsonValue = {inputs[at].branch: hit.said for at, hit in fused.hits}
    item: dict[str, JsonValue] = {"key": shown.key, "score": fused.score, fusion.said: said}
    if fused.tied:
        item["tied"] = True
    if isinstance(shown.item, dict) and fusion.keep != ():
        kept = shown.item if fusion.keep is None else {name: shown.item[name] for name in fusion.keep if name in shown.item}
        item["hit"] = copied(kept)
    return item


def _conflicts(inputs: Sequence[MergeInput], keep: Sequence[str], fused: _Fused) -> list[Conflict]:
    """Kept fields on which branches differ. Null says nothing."""
    items = [(inputs[at].branch, hit.item) for at, hit in fused.hits if isinstance(hit.item, dict)]
    found = []
    for name in keep:
        given = [(branch, item[name]) for branch, item in items if item.get(name) is not None]
        if differ(given):
            values = {branch: copied(value) for branch, value in given}
            found.append(Conflict(f"{fused.hits[0][1].key}.{name}", values, inputs[fused.shown].branch))
    return found
