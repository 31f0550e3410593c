"""When the remote aggregator is given up and the request's log is replayed in this process.

A limit on acknowledgements, and not a health check or the request's own deadline: a process that is stopped or starved answers
no event at all, and must be noticed while there is still time to merge. A limit on the result beside it, because an aggregator
that acknowledges everything and never concludes would otherwise take the reply down with it.

The clock of an event starts when the writer has it in hand, and not when it is queued: what waits behind others says nothing of
the aggregator, and a queue of a megabyte is no silence. It starts anew when the transport has taken the event; a transport that
takes nothing has a peer that reads nothing, which is silence as well.

Pure: it is told what happened and when, and says what to do. Times are the clock's ns.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, unique
from typing import Final, NamedTuple, TypeAlias

from dispatcher.model.policy import BreakerRule
from dispatcher.policies.breaker import FAILURES, Judgement
from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND

LEAST: Final = 100 * MS
MOST: Final = 250 * MS
SHARE: Final = 4
"""An event may be in the writer's hand, and then unacknowledged, for a quarter of what time remained, in [LEAST, MOST]."""

FLOOR: Final = 5 * MS
"""The result may always follow the verdict by this much, also without a reserve: they are two messages."""


@unique
class Why(Enum):
    """Why a remote merge was given up; the label of the fallback counter."""

    UNREACHABLE = "unreachable"  # no connection
    BROKEN = "broken"  # the stream ended without a result
    MALFORMED = "malformed"  # one side said what the other cannot read
    SILENT = "silent"  # an event was not taken, or not acknowledged, in time
    NO_RESULT = "no_result"  # stop, or the verdict, was not followed by a result in time
    LOG_FULL = "log_full"  # one more event, and it could not be replayed
    BREAKER_OPEN = "breaker_open"  # it was not asked, because it had failed too often


RULE: Final = BreakerRule(consecutive=5, rate_over=None, open_initial=SECOND, open_max=30 * SECOND)
"""An aggregator that is slow, or cut off without a word, costs each request the time in which that is noticed. So after five in
a row it is left alone. Not by rate: what fails now and then costs only those requests, and not much of their time."""


def judge(why: Why | None, *, code: Code | None = None, fair: bool = True) -> Judgement:
    """What the end of a remote merge says about the aggregator. `why` None: its result is here.

    `code`: the status that its stream ended with, if it has one. What it refuses, a merge that it was not started with or a
    result that is too large, is the request's affair and not a failure: else one plan would shut it for all. Nor is a result
    that came too late if nobody could have been in time (`fair`), or a log that cannot be told.
    """
    if why is None:
        return Judgement.SUCCESS
    if why is Why.LOG_FULL or (why is Why.NO_RESULT and not fair) or (code is not None and code not in FAILURES):
        return Judgement.NEUTRAL
    return Judgement.FAILURE


@unique
class Phase(Enum):
    """How far the remote merge has come."""

    OPEN = "open"  # no verdict yet
    JUDGED = "judged"  # the verdict is here, the result is not
    OVER = "over"  # the result is here, or nobody wants it


class Wait(NamedTuple):
    """Nothing to do before `until`, unless something happens."""

    until: int


class FallBack(NamedTuple):
    """Replay the log here."""

    why: Why


Decision: TypeAlias = Wait | FallBack | None
"""None: nothing will ever have to be done."""


class Failover:
    """One request. `stop` and `end` are when it must be complete, and when it must be answered.

    `acks` False: no limit on acknowledgements, for runs that compare both merges on a machine of unknown speed.
    """

    __slots__ = ("_acked", "_acks", "_half", "_in_hand", "_result_by", "_unacked", "phase")

    def __init__(self, stop: int, end: int, *, acks: bool = True) -> None:
        self.phase = Phase.OPEN
        self._acks = acks
        self._half = (end - stop) // 2
        self._result_by = stop + self._half
        self._acked = -1
        self._in_hand: tuple[int, int] | None = None  # (seq, to be taken by)
        self._unacked: deque[tuple[int, int]] = deque()  # (seq, to be acknowledged by): both only grow

    @property
    def fair(self) -> bool:
        """Whether the time for the result was as long as that for an acknowledgement is at the least."""
        return self._half >= LEAST

    @property
    def waits(self) -> bool:
        """Whether the aggregator owes something: to take an event, or to acknowledge one."""
        return self._in_hand is not None or bool(self._unacked)

    def sending(self, seq: int, now: int) -> None:
        """The writer hands this event to the transport."""
        if self._acks and self.phase is Phase.OPEN:
            self._in_hand = seq, self._due(now)

    def sent(self, seq: int, now: int) -> None:
        """The transport has taken it."""
        self._in_hand = None
        if self._acks and self.phase is Phase.OPEN and seq > self._acked:
            self._unacked.append((seq, self._due(now)))

    def acked(self, seq: int) -> None:
        """Everything up to `seq` has been folded."""
        self._acked = max(self._acked, seq)
        while self._unacked and self._unacked[0][0] <= seq:
            self._unacked.popleft()
        if self._in_hand is not None and self._in_hand[0] <= seq:
            self._in_hand = None

    def judged(self, now: int) -> None:
        """The verdict is here: acknowledgements no longer matter, the result does."""
        if self.phase is Phase.OPEN:
            self.phase = Phase.JUDGED
            self._nothing_waits()
            self._result_by = min(self._result_by, now + max(self._half, FLOOR))

    def over(self) -> None:
        """The result is here, or nobody wants it."""
        self.phase = Phase.OVER
        self._nothing_waits()

    def decide(self, now: int) -> Decision:
        """What to do at `now`."""
        if self.phase is Phase.OVER:
            return None
        if now >= self._result_by:
            return FallBack(Why.NO_RESULT)
        if self._unacked:
            by = self._unacked[0][1]
        elif self._in_hand is not None:
            by = self._in_hand[1]
        else:
            return Wait(self._result_by)
        return FallBack(Why.SILENT) if now >= by else Wait(min(by, self._result_by))

    def _due(self, now: int) -> int:
        remaining = self._result_by + self._half - now
        return now + min(max(remaining // SHARE, LEAST), MOST)

    def _nothing_waits(self) -> None:
        self._in_hand = None
        self._unacked.clear()
