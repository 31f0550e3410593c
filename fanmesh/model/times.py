"""Time as integer nanoseconds.

Floats add up to 0.30000000000000004, and two aggregators that must agree bit for bit cannot afford that. Seconds as floats
exist only at the edges (asyncio, gRPC timeouts).
"""

from __future__ import annotations

from math import inf
from typing import Final

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
    """`value` seconds in ns; None and infinity are no limit. ValueError, naming `name`, for what is no time."""
    if value is None or value == inf:
        return None
    if not value >= 0:  # NaN too
        raise ValueError(f"{name}: {value} is not a number of seconds ≥ 0")
    return round(value * SECOND)
