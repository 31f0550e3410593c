"""Time as integer nanoseconds.

Floats add up to 0.30000000000000004, and two aggregators that must agree bit for bit cannot afford that. Seconds as floats
exist only at the edges (asyncio, gRPC timeouts).
"""

from __future__ import annotations

from math import inf
from typing import Final, TypeVar

T = TypeVar("T")

US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000


def ms(value: float) -> int:
    """`value` milliseconds in nanoseconds, rounded to the nearest one."""
    return round(value * MS)


def seconds(ns: int) -> float:
    """`ns` nanoseconds in seconds, for asyncio and gRPC."""
    return ns / SECOND


def nanoseconds(name: str, value: float | None) -> int | None:
    """`value` seconds in ns; None and infinity are no limit. ValueError or TypeError, naming `name`, for what is no time."""
    if value is None or number(name, value) == inf:
        return None
    if not value >= 0:  # NaN too
        raise ValueError(f"{name}: {value} is not a number of seconds ≥ 0")
    return round(value * SECOND)


def number(name: str, value: T) -> T:
    """`value`, a number of seconds or None, as it is. TypeError, naming `name`, for what is no number."""
    if value is None or hasattr(value, "__float__"):
        return value
    raise TypeError(f"{name}: {value!r} is not a number of seconds, such as 1.5")


def whole(name: str, value: int) -> int:
    """`value`, a number of nanoseconds, as it is. TypeError, naming `name`: a fraction of one is a mistake of the unit."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name}: {value!r} is not a whole number of nanoseconds: write {name}=ms(80) for 80 milliseconds")
    return value
