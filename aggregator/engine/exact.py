"""Weights and shares as the decimals people wrote.

Completion must not depend on the order in which branches end, and running float sums do: 0.1 added ten times is not 1. Nor is
the float 0.9 nine tenths, so that comparing exact sums with it would miss "9 of 10". Both go away when every number is read as
its shortest decimal and kept as an integer over one common denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm


@lru_cache(maxsize=1024)
def exact(value: float) -> Fraction:
    """`value` as the decimal it prints as: 0.9 is 9/10. ValueError for NaN and infinities."""
    return Fraction(repr(value))


def whole(weights: Sequence[float]) -> list[int]:
    """Weights in one common unit, so that they add up exactly. ValueError for NaN, infinite and negative ones."""
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    if all(weight % 1 == 0 for weight in weights):
        return [int(weight) for weight in weights]
    parts = [exact(weight) for weight in weights]
    unit = lcm(*(part.denominator for part in parts))
    return [int(part * unit) for part in parts]
