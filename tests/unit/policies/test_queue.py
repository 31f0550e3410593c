"""The worker queue: every stand of a ticket with everything that can happen to it, who must go, and reloads."""

from __future__ import annotations

import pytest

from dispatcher.policies.queue import Admission, Queue, Queued, Stand, Ticket


def full(limit: int = 1) -> Queue:
    """All permits are out."""
    queue = Queue()
    for _ in range(limit):
        assert queue.enter(limit, 0, 0, critical=True) is Admission.ENTERED
    return queue


def waits(queue: Queue, deadline: int, *, critical: bool = True, size: int = 99) -> Ticket:
    """One more that waits, of a limit of 1."""
    entry = queue.enter(1, size, deadline, critical=critical)
    assert isinstance(entry, Queued)
    return entry.ticket


def made(stand: Stand) -> tuple[Queue, Ticket]:
    """A queue of limit 1 and size 1, and a ticket that stands like that; nobody else waits, one runs."""
    queue = full()
    ticket = waits(queue, 5, size=1)
    match stand:
        case Stand.GRANTED:
            queue.leave(1)
        case Stand.EVICTED:
            queue.forget(waits(queue, 1, size=1))
        case Stand.FORGOTTEN:
            queue.forget(ticket)
        case Stand.WAITING:
            pass
    assert ticket.stand is stand
    return queue, ticket


S = Stand
TABLE = [
    (S.WAITING, "leave", S.GRANTED),
    (S.WAITING, "admit", S.WAITING),
    (S.WAITING, "raise", S.GRANTED),
    (S.WAITING, "more important", S.EVICTED),
    (S.WAITING, "less important", S.WAITING),
    (S.WAITING, "forget", S.FORGOTTEN),
    *[
        (stand, event, stand)
        for stand in (S.GRANTED, S.EVICTED, S.FORGOTTEN)
        for event in ("leave", "admit", "raise", "more important", "less important", "forget")
    ],
]


@pytest.mark.parametrize(("before", "event", "after"), TABLE, ids=[f"{row[0].name}-{row[1]}" for row in TABLE])
def test_each_event_in_each_stand(before: Stand, event: str, after: Stand) -> None:
    """The table of the state machine, complete: a ticket leaves WAITING once, and is granted or told why not."""
    queue, ticket = made(before)
    granted: list[Ticket] = []
    match event:
        case "leave":
            granted = queue.leave(1)
        case "admit":
            granted = queue.admit(1)
        case "raise":
            granted = queue.admit(2)
        case "more important":
            queue.enter(1, 1, 4, critical=True)
        case "less important":
            queue.enter(1, 1, 6, critical=True)
        case "forget":
            queue.forget(ticket)
    assert ticket.stand is after
    assert (granted == [ticket]) is (before is S.WAITING and after is S.GRANTED)
    assert queue.running == (0 if event == "leave" and before is not S.WAITING else 2 if granted and event == "raise" else 1)


@pytest.mark.parametrize("limit", [1, 3, None])
def test_below_the_limit_nobody_waits(limit: int | None) -> None:
    """A permit that is free is taken at once, whatever the deadline and the queue's size; None is no limit."""
    queue = Queue()
    for taken in range(3 if limit is None else limit):
        assert queue.running == taken
        assert queue.enter(limit, 0, 7, critical=False) is Admission.ENTERED
    assert (queue.enter(limit, 0, 7, critical=True) is Admission.ENTERED) is (limit is None)


def test_the_most_urgent_goes_first() -> None:
    """By deadline and then by arrival; being critical does not make a branch more urgent."""
    queue = full()
    tickets = [waits(queue, *at[:1], critical=at[1]) for at in ((30, True), (10, False), (20, True), (10, True), (10, False))]
    order = [queue.leave(1) for _ in tickets]
    assert order == [[tickets[at]] for at in (1, 3, 4, 2, 0)]
    assert queue.leave(1) == []
    assert (queue.running, len(queue)) == (0, 0)


WAITING = [(10, True), (20, True), (15, False), (25, False)]
"""Deadline and critical."""


@pytest.mark.parametrize(
    ("waiting", "newcomer", "gone"),
    [
        (WAITING, (5, True), (25, False)),
        (WAITING, (99, True), (25, False)),
        (WAITING, (24, False), (25, False)),
        (WAITING, (25, False), None),
        (WAITING, (26, False), None),
        (WAITING[:3], (1, False), (15, False)),
        (WAITING[:3], (99, True), (15, False)),
        (WAITING[:2], (19, True), (20, True)),
        (WAITING[:2], (20, True), None),
        (WAITING[:2], (21, True), None),
        (WAITING[:2], (1, False), None),
        ([], (1, True), None),
    ],
)
def test_the_least_important_goes(
    waiting: list[tuple[int, bool]], newcomer: tuple[int, bool], gone: tuple[int, bool] | None
) -> None:
    """Of those who wait and the newcomer: a sheddable one, then the latest deadline, then the newest."""
    queue = full()
    tickets = {at: waits(queue, at[0], critical=at[1]) for at in waiting}
    entry = queue.enter(1, len(waiting), newcomer[0], critical=newcomer[1])
    assert len(queue) == len(waiting)
    if gone is None:
        assert entry is Admission.REFUSED
    else:
        assert isinstance(entry, Queued)
        assert entry.evicted is tickets.pop(gone)
        assert entry.evicted.stand is Stand.EVICTED
        assert (entry.ticket.deadline, entry.ticket.critical) == newcomer
    assert all(ticket.stand is Stand.WAITING for ticket in tickets.values())


def test_of_equals_the_newest_is_evicted() -> None:
    """Who has waited longest with the same deadline keeps the place."""
    queue = full()
    older, newer = waits(queue, 9), waits(queue, 9)
    entry = queue.enter(1, 2, 8, critical=True)
    assert isinstance(entry, Queued)
    assert entry.evicted is newer
    assert queue.leave(1) == [entry.ticket]
    assert queue.leave(1) == [older]


def test_the_waiter_in_the_middle_can_be_forgotten() -> None:
    """Also one of several with the same deadline, and it is never granted."""
    queue = full()
    first, second, third = (waits(queue, 9) for _ in range(3))
    queue.forget(second)
    assert [queue.leave(1), queue.leave(1), queue.leave(1)] == [[first], [third], []]
    assert second.stand is Stand.FORGOTTEN


def test_a_hedge_takes_a_free_permit_and_never_waits() -> None:
    """At the limit it is not made; its permit counts like any other."""
    queue = full(1)
    assert queue.try_enter(2)
    assert queue.running == 2
    assert not queue.try_enter(2)
    assert queue.try_enter(None)
    assert (queue.running, len(queue)) == (3, 0)


@pytest.mark.parametrize("critical", [True, False])
def test_a_hedge_does_not_overtake_who_waits(*, critical: bool) -> None:
    """A permit that a reload has freed belongs to those who wait for their first attempt."""
    queue = full()
    ticket = waits(queue, 5, critical=critical)
    assert not queue.try_enter(9)
    assert queue.admit(9) == [ticket]
    assert queue.try_enter(9)


def test_a_raised_limit_wakes_as_many_as_fit() -> None:
    """With the next permit that is given back, or at once with `admit`; None wakes all."""
    queue = full()
    tickets = [waits(queue, deadline) for deadline in range(5)]
    assert queue.leave(2) == tickets[:2]
    assert queue.admit(3) == tickets[2:3]
    assert queue.leave(None) == tickets[3:]
    assert queue.running == 4


def test_a_newcomer_after_a_raise_leaves_the_waiting_their_permits() -> None:
    """Limit 3, one runs, one waits: one permit is for the newcomer and none for another."""
    queue = full()
    ticket = waits(queue, 5)
    assert queue.enter(3, 0, 1, critical=True) is Admission.ENTERED
    assert queue.enter(3, 0, 9, critical=True) is Admission.REFUSED
    assert queue.admit(3) == [ticket]


def test_a_lowered_limit_stops_nobody_and_wakes_nobody() -> None:
    """Three run under a limit of one: the waiter's turn comes with the third that leaves."""
    queue = full(3)
    ticket = waits(queue, 5)
    assert [queue.leave(1) for _ in range(3)] == [[], [], [ticket]]


def test_a_lowered_size_sends_nobody_away() -> None:
    """But no newcomer makes it longer: it is refused, or takes the place of one."""
    queue = full()
    tickets = [waits(queue, deadline) for deadline in (10, 20)]
    assert queue.enter(1, 0, 30, critical=True) is Admission.REFUSED
    entry = queue.enter(1, 0, 5, critical=True)
    assert isinstance(entry, Queued)
    assert entry.evicted is tickets[1]
    assert len(queue) == 2


def test_a_permit_that_nobody_had_is_a_bug() -> None:
    """Given back twice it would let one more run than the limit says, for ever."""
    queue = full()
    queue.leave(1)
    with pytest.raises(RuntimeError, match="that nobody had"):
        queue.leave(1)
    assert queue.running == 0


def test_a_ticket_carries_what_the_layer_wakes_it_with() -> None:
    """Nothing at first; the queue hands back the same ticket."""
    queue = full()
    ticket = waits(queue, 5)
    assert ticket.payload is None
    ticket.payload = "future"
    assert [granted.payload for granted in queue.leave(1)] == ["future"]
