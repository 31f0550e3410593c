"""The deadlines of many calls over one timer of the loop.

Deadlines are set far more often than they pass: a timer of the loop for each would be a tenth of a small call. Here a call
joins others that are due in the same millisecond and leaves them when it ends, and the loop has one timer, for the first
moment that still has calls.

A deadline is never early. Whoever looks at a call from above has an alarm for the same moment, and it is the one that decides:
hence a millisecond more than the rounding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from fanmesh.model.times import MS
from fanmesh.runtime.clock import now_ns

_LEFT_OVER: Final = 64
"""Moments that nobody waits for any more, beyond as many as there are others: then the book is made anew."""


class Mortal(Protocol):
    """What has a deadline."""

    def expire(self) -> None:
        """It has passed."""


class Deadlines:
    """Of one loop. `len` is how many wait, `now` the clock in ns."""

    __slots__ = ("_calls", "_closed", "_loop", "_moments", "_next", "_now", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], int] = now_ns) -> None:
        self._loop = loop
        self._now = now
        self._calls: dict[int, dict[Mortal, None]] = {}  # by the ms in which they are due; none is empty
        self._moments: list[int] = []  # a heap of these ms, and of some that nobody waits for any more
        self._next = 0  # the moment of the timer; 0: there is none
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._calls.values()))

    def set(self, call: Mortal, at: int) -> int:
        """`call.expire()` once `at` (the clock's ns) has passed, unless dropped: with the moment that is returned."""
        moment = at // MS + 2
        if self._closed:
            return moment
        if (due := self._calls.get(moment)) is not None:
            due[call] = None
            return moment
        self._calls[moment] = {call: None}
        heappush(self._moments, moment)
        if not self._next or moment < self._next:
            self._arm(moment)
        return moment

    def drop(self, call: Mortal, moment: int) -> None:
        """Not any more. May be repeated."""
        due = self._calls.get(moment)
        if due is None or call not in due:
            return
        del due[call]
        if due:
            return
        del self._calls[moment]
        if len(self._moments) > 2 * len(self._calls) + _LEFT_OVER:
            self._moments = list(self._calls)
            heapify(self._moments)

    def close(self) -> None:
        """No deadline passes any more. May be repeated."""
        self._closed = True
        self._calls.clear()
        self._moments.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, moment: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = moment
        wait = -(-(moment * MS - self._now()) // MS)
        self._timer = self._loop.call_later(max(wait, 0) / 1000, self._ring)

    def _ring(self) -> None:
        """A loop may count in ms from the beginning of a turn, and ring early by as long as that turn has taken."""
        self._next = 0
        now, moments = self._now() // MS, self._moments
        while moments and (moments[0] <= now or moments[0] not in self._calls):
            self._pass(heappop(moments))
            moments = self._moments  # it may have been made anew
        if moments and (not self._next or moments[0] < self._next):
            self._arm(moments[0])

    def _pass(self, moment: int) -> None:
        """Let those expire that are due then. The end of one may be the end of others, and begin some for the same moment."""
        due = self._calls.get(moment, {})
        while due:
            call = next(iter(due))
            del due[call]
            call.expire()
        if self._calls.get(moment) is due:
            del self._calls[moment]
