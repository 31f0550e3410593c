"""How late the event loop is: a timer that looks how late it was called.

It is the one number that says that a process is the bottleneck and not its workers. Two views of it, because a gauge and a
control want opposite things. The gauge is the worst of the last seconds: a scrape every 15 s would miss every stall otherwise.
The control is the median of the last five ticks: a single stall (a collection, a reload) is over when it is noticed, and those
who come next should not pay for it; only a delay that persists tells of too much work. Source: CoDel (RFC 8289), which for the
same reason looks at the least delay of an interval and not at the worst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from fanmesh.model.times import MS, SECOND, seconds

EVERY: Final = 100 * MS
WINDOW: Final = 10 * SECOND
RECENT: Final = 5
"""Ticks of which the median is taken: half a second of a loop that is on time, longer if it is not."""


class LoopLag:
    """Measures the running loop from `start` to `stop`. `now` in ns."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._due = 0
        self._turns = 0
        self._worst = 0
        self._before = 0
        self._last = [0] * RECENT
        self.recent = 0
        """The delay in ns, ≥ 0, that persists: three late ticks of five raise it, three on time bring it down."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def worst(self) -> int:
        """The longest delay in ns, ≥ 0, within the last 10 to 20 seconds."""
        return max(self._worst, self._before)

    def start(self) -> None:
        """Begin, in the running loop."""
        self._due = self._now() + EVERY
        self._timer = asyncio.get_running_loop().call_later(seconds(EVERY), self._tick)

    def stop(self) -> None:
        """Measure no more. May be repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        late = max(0, self._now() - self._due)
        self._worst = max(self._worst, late)
        self._last[self._turns % RECENT] = late
        self.recent = sorted(self._last)[RECENT // 2]
        self._turns += 1
        if self._turns * EVERY >= WINDOW:
            self._turns, self._before, self._worst = 0, self._worst, 0
        self.start()
