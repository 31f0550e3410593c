"""Time as integer nanoseconds.

Floats add up to 0.30000000000000004, and two aggregators that must agree bit for bit cannot afford that. Seconds as floats
exist only at the edges (asyncio, gRPC timeouts).
"""

from __future__ import annotations

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
