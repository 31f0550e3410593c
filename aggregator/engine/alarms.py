"""When time alone changes something, and whether it has.

The fold has no clock: time is what the next event says it is. So what was due before that event is fired first, in the order
of its due times, as if a timer had been on time; a late timer then changes nothing. Kept as due times and flags and not as
comparisons with `now` in the rules, because at one instant endings come before softs: an ending at 300 ms must not see a soft
timeout of 300 ms as passed.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from aggregator.engine.state import Books
from aggregator.engine.watch import Watch

NEVER: Final = 1 << 63
"""Later than any time that fits on the wire."""


class Alarms:
    """Due times in ns since the request's start, and which of them have passed.

    `next` is a lower bound of every due time, for one comparison per event. `watch` keeps what some rules go by; most plans
    have none of these.
    """

    __slots__ = ("_grace", "_plan_soft", "_softs", "grace_passed", "next", "plan_soft_passed", "stop", "watch")

    def __init__(self, stop: int, plan_soft: int | None) -> None:
        self.stop = stop
        self.watch: Watch | None = None
        self.plan_soft_passed = False
        self.grace_passed = False
        self._plan_soft = NEVER if plan_soft is None else plan_soft
        self._grace = NEVER
        self._softs: list[tuple[int, int]] = []
        self.next = min(stop, self._plan_soft)

    def add_soft(self, due: int, node: int) -> None:
        """The node's soft timeout is at `due`; or the watch's, at a place below 0."""
        heappush(self._softs, (due, node))
        self.next = min(self.next, due)

    def add_grace(self, due: int) -> None:
        """The wait after coverage was met ends at `due`."""
        self._grace = due
        self.next = min(self.next, due)

    @property
    def grace_fixed(self) -> bool:
        """Whether the wait after coverage has been fixed already; it is fixed once."""
        return self.grace_passed or self._grace is not NEVER

    def earliest(self) -> int:
        """When the next one other than stop is due; NEVER if there is none."""
        due = min(self._plan_soft, self._grace)
        return min(due, self._softs[0][0]) if self._softs else due

    def fire(self, due: int, books: Books) -> bool:
        """Everything that is due at `due` has now passed. Whether any of it makes a difference."""
        changed = False
        if self._plan_soft == due:
            self._plan_soft = NEVER
            self.plan_soft_passed = changed = True
        if self._grace == due:
            self._grace = NEVER
            self.grace_passed = changed = True
        while self._softs and self._softs[0][0] == due:
            _, node = heappop(self._softs)
            changed |= books.pass_soft(node) if self.watch is None or node >= 0 else self.watch.passed(node, due, self)
        self.next = min(self.stop, self.earliest())
        return changed
