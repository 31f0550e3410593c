"""Scores of one branch made comparable with those of another.

`minmax`: (s − min) / (max − min), so a branch's best hit is 1 and its worst 0; all equal are 1, since each is the best.
`zscore`: (s − mean) / standard deviation of the branch's hits (n in the denominator); all equal are 0.
`rank`: 1 − (rank − 1) / n, so the best is 1 and the last 1/n.

Linear normalisation and ranks as Vespa and ranx have them; where all scores are equal they differ among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum, sqrt
from typing import Final, TypeAlias

from aggregator.engine.jsons import is_number, what
from aggregator.engine.options import Path, read
from fanmesh.model.values import JsonValue

LARGEST: Final = 1e150
"""Scores beyond it cannot be squared, weighted and added up within a double."""

Scores: TypeAlias = Sequence[int | float]
"""Of one branch, best first."""


def _as_they_are(scores: Scores) -> Scores:
    return scores


def _minmax(scores: Scores) -> Scores:
    best, worst = float(scores[0]), float(scores[-1])
    return [(score - worst) / (best - worst) if best > worst else 1.0 for score in map(float, scores)]


def _zscore(scores: Scores) -> Scores:
    values = list(map(float, scores))
    if values[0] == values[-1]:
        return [0.0] * len(values)
    mean = fsum(values) / len(values)
    off = [value - mean for value in values]
    most = max(map(abs, off))  # scaled by it, because squares of small numbers vanish
    deviation = sqrt(fsum((one / most) ** 2 for one in off) / len(off))
    return [one / most / deviation for one in off]


def _rank(scores: Scores) -> Scores:
    return [1 - at / len(scores) for at in range(len(scores))]


NORMALISE: Final[dict[str, Callable[[Scores], Scores]]] = {
    "none": _as_they_are,
    "minmax": _minmax,
    "zscore": _zscore,
    "rank": _rank,
}
"""By name. Each takes at least one score."""


def unscored(place: str, item: JsonValue, path: Path) -> str | None:
    """Why a hit at `place` has no score; None = it has one."""
    score = read(item, path)
    where = f"{place}.{'.'.join(path)}"
    if not is_number(score):
        return f"{where} is {'missing' if score is None else what(score)}; a score is a number"
    if not -LARGEST <= score <= LARGEST:  # type: ignore[operator]  # a number
        return f"{where} is {score}, and scores beyond ±{LARGEST:g} cannot be combined"
    return None
