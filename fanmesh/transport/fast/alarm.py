"""A call's deadline as a timer of the loop that never fires early.

uvloop counts in milliseconds from the beginning of a turn of the loop, so a timer alone may be early by as long as that turn
has taken. Whoever looks at the call from above has an alarm for the same moment, and it is the one that decides: hence a
millisecond more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fanmesh.model.times import MS
from fanmesh.runtime.clock import now_ns


class Alarm:
    """Calls `callback` once `at` (ns of `now_ns`) has passed, unless cancelled."""

    __slots__ = ("_at", "_callback", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: int, wait: int, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._at = at
        self._callback = callback
        self._handle = loop.call_later(_rounded(wait), self._ring)

    def cancel(self) -> None:
        """Not any more."""
        self._handle.cancel()

    def _ring(self) -> None:
        left = self._at - now_ns()
        if left > 0:
            self._handle = self._loop.call_later(_rounded(left), self._ring)
        else:
            self._callback()


def _rounded(ns: int) -> float:
    """Seconds for the loop: a whole number of ms, and one more."""
    return (ns // MS + 2) / 1000
