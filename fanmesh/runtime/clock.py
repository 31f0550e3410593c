"""The one place that reads the clock, waits, and draws random numbers.

Everything else takes `now` and `u` as arguments, or one of these functions as a parameter: tests decide what time it is.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from fanmesh.model.times import MS, seconds

now_ns: Final = time.monotonic_ns
"""Monotonic nanoseconds. Not the loop's clock, which under uvloop moves in steps of a millisecond."""


async def sleep(ns: int) -> None:
    """Wait for `ns` nanoseconds; at once if it is not positive."""
    await asyncio.sleep(seconds(max(ns, 0)))


def uniform() -> float:
    """A random number in [0, 1)."""
    return random.random()


class LoopClock:
    """The clock of a process: monotonic time, and timers of the running loop."""

    __slots__ = ("_loop", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = time.monotonic_ns

    def call_at(self, when: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call `callback` at `when`, rounded up to a ms: uvloop rounds to the nearest one, and would fire too early."""
        wait = max(0, when - time.monotonic_ns())
        return self._loop.call_later(-(-wait // MS) / 1000, callback)
