"""Who of a worker's branches runs, who waits, and who is turned away: a limit, and behind it a bounded queue.

The most urgent goes first and not the oldest: when there is a queue at all, serving those whose time is nearly up loses the
fewest. When it is full, somebody is turned away at once, for waiting without a prospect helps nobody: a sheddable branch
before a critical one, then the one with the latest deadline, then the newest. That may be one that waits already.

Two sorted lists and not heaps: a waiter can be taken out of either end or the middle by bisection, nothing stale stays
behind, and moving a few hundred pointers costs less than one comparison in Python.

Nothing here expires: the layer that waits knows the deadline of what it waits for, and says `forget`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from enum import Enum, unique
from typing import Any, NamedTuple, TypeAlias


@unique
class Stand(Enum):
    """How a ticket stands. It leaves WAITING once, and never comes back."""

    WAITING = "waiting"
    GRANTED = "granted"  # it has a permit, which must be given back with `leave`
    EVICTED = "evicted"  # a more important one has its place
    FORGOTTEN = "forgotten"  # whoever waited no longer does


class Ticket:
    """A place in the queue. `payload` is the layer's: whatever it wakes the waiter with. Urgency is (`deadline`, `seq`)."""

    __slots__ = ("critical", "deadline", "payload", "seq", "stand")

    def __init__(self, deadline: int, seq: int, *, critical: bool) -> None:
        self.deadline = deadline
        self.critical = critical
        self.seq = seq
        self.stand = Stand.WAITING
        self.payload: Any = None


@unique
class Admission(Enum):
    """What became of a branch that need not wait."""

    ENTERED = "entered"  # it has a permit
    REFUSED = "refused"  # the queue is full, and everybody in it is at least as important


class Queued(NamedTuple):
    """It waits with `ticket`; `evicted` had to go for it and must be told so."""

    ticket: Ticket
    evicted: Ticket | None = None


Entry: TypeAlias = Admission | Queued
_Line: TypeAlias = list[tuple[int, int, Ticket]]


class Queue:
    """One worker in one process. `running` is the number of permits that are out, and `len()` the number of those that wait.

    `limit` is the most permits at once, ≥ 1, None = any number; `size` the most that wait, ≥ 0. Both are arguments because a
    reload may change them: nobody who runs is stopped and nobody who waits is sent away by that. After a limit was raised the
    next `leave` grants what has become free; `admit` does so at once.
    """

    __slots__ = ("_critical", "_seq", "_sheddable", "running")

    def __init__(self) -> None:
        self.running = 0
        self._critical: _Line = []
        self._sheddable: _Line = []
        self._seq = 0

    def __len__(self) -> int:
        return len(self._critical) + len(self._sheddable)

    def enter(self, limit: int | None, size: int, deadline: int, *, critical: bool) -> Entry:
        """A branch that must be done by `deadline` (ns) wants to run: it does, or it waits, or it is refused."""
        if limit is None or self.running + len(self) < limit:  # nobody who waits is overtaken: each has a permit left
            self.running += 1
            return Admission.ENTERED
        evicted = None
        if len(self) >= size:
            evicted = self._least_important(deadline, critical=critical)
            if evicted is None:
                return Admission.REFUSED
            self._remove(evicted, Stand.EVICTED)
        self._seq += 1
        ticket = Ticket(deadline, self._seq, critical=critical)
        insort(self._line(ticket), (deadline, self._seq, ticket))
        return Queued(ticket, evicted)

    def try_enter(self, limit: int | None) -> bool:
        """A hedge: True, with a permit, if one is free and nobody waits for it. A hedge never waits."""
        if limit is not None and (self.running >= limit or self._critical or self._sheddable):
            return False
        self.running += 1
        return True

    def leave(self, limit: int | None) -> list[Ticket]:
        """A permit is given back. Returned are those who run now, the most urgent first; their permits are taken."""
        if self.running <= 0:
            raise RuntimeError("a permit was given back that nobody had")
        self.running -= 1
        return self.admit(limit) if self._critical or self._sheddable else []

    def admit(self, limit: int | None) -> list[Ticket]:
        """As `leave`, with no permit given back: those who may run because the limit was raised."""
        granted = []
        while (line := self._most_urgent()) and (limit is None or self.running < limit):
            ticket = line.pop(0)[2]
            ticket.stand = Stand.GRANTED
            self.running += 1
            granted.append(ticket)
        return granted

    def forget(self, ticket: Ticket) -> None:
        """Whoever waited no longer does. Nothing happens unless it is WAITING: one that was granted has to `leave`."""
        if ticket.stand is Stand.WAITING:
            self._remove(ticket, Stand.FORGOTTEN)

    def _least_important(self, deadline: int, *, critical: bool) -> Ticket | None:
        """The waiter that must go for such a newcomer; None = the newcomer is the least important itself."""
        line = self._sheddable or self._critical
        if not line or (line is self._critical and not critical):
            return None
        last = line[-1][2]
        return last if last.critical is not critical or last.deadline > deadline else None

    def _most_urgent(self) -> _Line:
        """The line whose head is next; empty if nobody waits."""
        a, b = self._critical, self._sheddable
        return a if not b or (a and a[0] < b[0]) else b

    def _line(self, ticket: Ticket) -> _Line:
        return self._critical if ticket.critical else self._sheddable

    def _remove(self, ticket: Ticket, stand: Stand) -> None:
        line = self._line(ticket)
        del line[bisect_left(line, (ticket.deadline, ticket.seq))]
        ticket.stand = stand
