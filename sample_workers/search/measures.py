"""How good rankings are, and how sure that one kind is better than another. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

DEPTH: Final = 10
SAMPLES: Final = 10_000
SEED: Final = 7


class Against(NamedTuple):
    """One ranking beside another, over the same questions.

    `low` and `high` hold 95 % of what the difference of the means would be with other questions like these (paired bootstrap).
    """

    difference: float
    low: float
    high: float
    better: int
    worse: int
    equal: int


def reciprocal_rank(ranked: Sequence[str], right: str, depth: int = DEPTH) -> float:
    """1 / the place of the right one; 0 if it is not among the first `depth`."""
    place = next((place for place, key in enumerate(ranked[:depth], 1) if key == right), 0)
    return 1 / place if place else 0.0


def fuse(rankings: Mapping[str, Sequence[str]], k0: int, weights: Mapping[str, float], depth: int = DEPTH) -> list[str]:
    """Σ weight / (k0 + place), best first, equals by key: as the merge does it, to choose `k0` and weights."""
    score: dict[str, float] = {}
    for name, ranked in rankings.items():
        for place, key in enumerate(ranked, 1):
            score[key] = score.get(key, 0.0) + weights.get(name, 1.0) / (k0 + place)
    return sorted(score, key=lambda key: (-score[key], key))[:depth]


def compare(one: Sequence[float], other: Sequence[float]) -> Against:
    """Figures of the same questions in the same order, one for each. ValueError if there are none."""
    if len(one) != len(other) or not one:
        raise ValueError("figures of the same questions are needed")
    difference = np.asarray(one) - np.asarray(other)
    drawn = np.random.default_rng(SEED).integers(0, len(difference), (SAMPLES, len(difference)), dtype=np.int32)
    low, high = np.quantile(difference[drawn].mean(axis=1), [0.025, 0.975])
    counts = int((difference > 0).sum()), int((difference < 0).sum()), int((difference == 0).sum())
    return Against(float(difference.mean()), float(low), float(high), *counts)
