"""One timer for all alarms: order at one instant, re-arming, early and late timers."""

from __future__ import annotations

from collections.abc import Callable

from dispatcher.flow.alarms import Alarms, Due, Rank
from fanmesh.model.states import AlarmKind

K = AlarmKind
STOP = Due(100, Rank.STOP, -1, K.STOP)
HARD = Due(100, Rank.ENDING, 0, None)
SOFT = Due(100, Rank.SOFT, 1, K.BRANCH_SOFT)


class Handle:
    """A timer of the clock below."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Forget it."""
        self.cancelled = True


class Clock:
    """A clock that stands still, and remembers what it was asked."""

    def __init__(self) -> None:
        self.time = 0
        self.asked: list[tuple[int, Callable[[], None], Handle]] = []

    def now(self) -> int:
        """The time."""
        return self.time

    def call_at(self, when: int, callback: Callable[[], None]) -> Handle:
        """Remember it."""
        handle = Handle()
        self.asked.append((when, callback, handle))
        return handle

    @property
    def live(self) -> list[int]:
        """When the timers that count are due."""
        return [when for when, _, handle in self.asked if not handle.cancelled]


def drain(alarms: Alarms, now: int, *, all_of_now: bool) -> list[Due]:
    """Everything that is due, in order."""
    found = []
    while (due := alarms.due(now, all_of_now=all_of_now)) is not None:
        found.append(due)
    return found


def test_the_order_at_one_instant() -> None:
    """At one instant: stop, endings, softs; before that whatever was due earlier."""
    alarms = Alarms(Clock(), lambda: None)
    early = Due(99, Rank.SOFT, 2, K.BRANCH_SOFT)
    for due in (SOFT, HARD, STOP, early):
        alarms.add(due)
    assert drain(alarms, 100, all_of_now=True) == [early, STOP, HARD, SOFT]
    assert drain(alarms, 1000, all_of_now=True) == []


def test_an_event_at_the_same_instant_comes_before_them() -> None:
    """Before an event at 100 only what was due before 100 is fired, and a stop at 100."""
    alarms = Alarms(Clock(), lambda: None)
    for due in (SOFT, HARD, Due(99, Rank.SOFT, 2, K.PLAN_SOFT)):
        alarms.add(due)
    assert drain(alarms, 100, all_of_now=False) == [Due(99, Rank.SOFT, 2, K.PLAN_SOFT)]
    alarms.add(STOP)
    assert drain(alarms, 100, all_of_now=False) == [STOP]
    assert drain(alarms, 101, all_of_now=False) == [HARD, SOFT]


def test_one_timer_for_the_earliest() -> None:
    """One timer stands for the earliest alarm; an earlier one replaces it, a later one does not."""
    clock = Clock()
    alarms = Alarms(clock, lambda: None)
    alarms.arm()
    assert clock.live == []
    alarms.add(SOFT)
    alarms.arm()
    alarms.add(Due(200, Rank.SOFT, 1, K.PLAN_SOFT))
    alarms.arm()
    assert clock.live == [100]
    alarms.add(Due(50, Rank.SOFT, 1, K.BRANCH_SOFT))
    alarms.arm()
    assert clock.live == [50]
    assert len(clock.asked) == 2


def test_a_timer_that_comes_early_is_armed_again() -> None:
    """A clock may fire early: nothing is due then, and the timer is set again."""
    clock = Clock()
    fired: list[Due] = []
    alarms = Alarms(clock, lambda: fired.extend(drain(alarms, clock.time, all_of_now=True)))
    alarms.add(SOFT)
    alarms.arm()
    clock.time = 99
    clock.asked[0][1]()
    assert (fired, [when for when, _, _ in clock.asked]) == ([], [100, 100])
    clock.time = 100
    clock.asked[1][1]()
    assert (fired, len(clock.asked)) == ([SOFT], 2)


def test_cleared() -> None:
    """After clear nothing fires, and clearing twice is harmless."""
    clock = Clock()
    alarms = Alarms(clock, lambda: None)
    alarms.add(SOFT)
    alarms.arm()
    alarms.clear()
    alarms.clear()
    alarms.arm()
    assert (clock.live, drain(alarms, 1000, all_of_now=True)) == ([], [])


def test_after_the_end_nobody_is_told() -> None:
    """What is added to alarms that were cleared may still fire a timer, and tells nobody: their owner is gone."""
    clock, told = Clock(), []
    alarms = Alarms(clock, lambda: told.append(1))
    alarms.clear()
    alarms.add(STOP)
    alarms.arm()
    [(_, fire, _)] = clock.asked
    fire()
    assert not told
