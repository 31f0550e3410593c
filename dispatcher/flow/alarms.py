"""All alarms of a request over one timer.

A heap and one `call_at` instead of a timer per branch: most requests arm many alarms and reach none of them, and an entry in
a heap costs a tenth of a loop timer. At one instant the order is stop, endings, softs, wakes; `rank` says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum, unique
from typing import NamedTuple

from dispatcher.flow.ports import Clock, Timer
from fanmesh.model.states import AlarmKind


@unique
class Rank(IntEnum):
    """The order of alarms that are due at the same time."""

    STOP = 0
    ENDING = 1
    SOFT = 2
    WAKE = 3  # a layer of the branch wants to look again: a backoff is over, or an attempt is slow


class Due(NamedTuple):
    """One alarm. `at` is the clock's time in ns. `kind` None = the branch's hard timeout, or its wish to be woken."""

    at: int
    rank: Rank
    branch: int
    kind: AlarmKind | None


class Alarms:
    """The heap of one request, and the timer that stands for its earliest entry."""

    __slots__ = ("_callback", "_clock", "_heap", "_timer", "_timer_at")

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._heap: list[Due] = []
        self._timer: Timer | None = None
        self._timer_at = 0

    def add(self, due: Due) -> None:
        """Add an alarm. `arm` is to be called before control goes back to the loop."""
        heapq.heappush(self._heap, due)

    def arm(self) -> None:
        """Let the timer stand for the earliest entry. One that is early enough stays: firing early is harmless."""
        if not self._heap:
            return
        first = self._heap[0].at
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._timer_at = first
        self._timer = self._clock.call_at(first, self._fired)

    def due(self, now: int, *, all_of_now: bool) -> Due | None:
        """Take the next alarm due before `now`; at `now` itself only a stop, or with `all_of_now` any."""
        if self._heap:
            first = self._heap[0]
            if first.at < now or (first.at == now and (all_of_now or first.rank is Rank.STOP)):
                return heapq.heappop(self._heap)
        return None

    def clear(self) -> None:
        """Forget everything, and whom to tell: nothing that is added later is ever due."""
        self._heap.clear()
        self._callback = _nobody
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        self._timer = None
        self._callback()
        self.arm()


def _nobody() -> None:
    """Is told when the request is over."""
