"""How many calls ended of late, and how many of them badly.

Exact counts in ring buckets, and not a moving average: in an average a tight burst of failures has no weight (Linkerd gave its
average up for this reason). And not a list of times: it would grow with the traffic.
"""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 10
"""A window is so many buckets, and moves by one at a time: an entry counts for 9/10 to 10/10 of the window."""


class Window:
    """`every` and `bad` are the counts as of the latest `add`; times are the clock's ns.

    A clock that steps back stands still here. Another length of the window begins anew.
    """

    __slots__ = ("_bad", "_every", "_newest", "_width", "bad", "every")

    def __init__(self) -> None:
        self._width = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.every = self.bad = self._newest = 0
        self._every = [0] * BUCKETS
        self._bad = [0] * BUCKETS

    def add(self, window: int, now: int, *, bad: bool) -> None:
        """A call ended at `now`; those before it that are more than `window` ns old are forgotten."""
        width = max(window // BUCKETS, 1)
        if width != self._width:
            self.clear()
            self._width = width
        if (number := now // width) > self._newest:
            for gone in range(self._newest + 1, min(number, self._newest + BUCKETS) + 1):
                self._empty(gone % BUCKETS)
            self._newest = number
        at = self._newest % BUCKETS
        self.every += 1
        self._every[at] += 1
        if bad:
            self.bad += 1
            self._bad[at] += 1

    def _empty(self, at: int) -> None:
        self.every -= self._every[at]
        self.bad -= self._bad[at]
        self._every[at] = self._bad[at] = 0
