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


@lru_cache(maxsize=256)
def units(weights: tuple[float | Fraction, ...]) -> tuple[tuple[int, ...], int]:
    """Weights as multiples of one unit, so that they add up exactly, and how many of it are 1. Remembered: a plan keeps its."""
    parts = [exact(weight) if isinstance(weight, float | int) else weight for weight in weights]
    one = lcm(*(part.denominator for part in parts))
    return tuple([int(part * one) for part in parts]), one


def whole(weights: Sequence[float]) -> list[int]:
    """Weights in one common unit. ValueError for NaN, infinite and negative ones."""
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    return list(units(tuple(weights))[0])
