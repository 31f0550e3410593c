"""The worker queue beside a model that searches one plain list, for any sequence of events and reloads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.policies.queue import Admission, Entry, Queue, Queued, Stand, Ticket

limits = st.one_of(st.integers(1, 4), st.none())
calm = st.one_of(
    st.tuples(st.just("enter"), st.integers(0, 6), st.booleans()),
    st.tuples(st.sampled_from(["hedge", "leave"]), st.just(0), st.just(True)),
    st.tuples(st.just("forget"), st.integers(0, 12), st.just(True)),
)
reloads = st.tuples(st.just("reload"), limits, st.integers(0, 4))


class Model:
    """The rules, word by word: one list, searched from end to end."""

    def __init__(self) -> None:
        self.running = 0
        self.waiting: list[Ticket] = []

    def room(self, limit: int | None) -> bool:
        """A permit is free."""
        return limit is None or self.running < limit

    def entered(self, entry: Entry, limit: int | None, size: int, newcomer: tuple[int, bool]) -> None:
        """Check what a newcomer was told; nobody waits while a permit is free, so a free one is its own."""
        if self.room(limit):
            assert entry is Admission.ENTERED
            self.running += 1
            return
        everybody = [(ticket.critical, -ticket.deadline, -ticket.seq, ticket) for ticket in self.waiting]
        lowest = min([*everybody, (newcomer[1], -newcomer[0], float("-inf"), None)])[3]
        if len(self.waiting) < size:
            assert isinstance(entry, Queued)
            assert entry.evicted is None
        elif lowest is None:
            assert entry is Admission.REFUSED
            return
        else:
            assert isinstance(entry, Queued)
            assert entry.evicted is lowest
            assert lowest.stand is Stand.EVICTED
            self.waiting.remove(lowest)
        self.waiting.append(entry.ticket)

    def woken(self, tickets: list[Ticket], limit: int | None) -> None:
        """Check who runs now: the most urgent, one by one, while there is room."""
        expected = []
        while self.waiting and self.room(limit):
            first = min(self.waiting, key=lambda ticket: (ticket.deadline, ticket.seq))
            self.waiting.remove(first)
            self.running += 1
            expected.append(first)
        assert tickets == expected
        assert all(ticket.stand is Stand.GRANTED for ticket in tickets)


@given(st.integers(1, 4), st.integers(0, 4), st.lists(st.one_of(calm, reloads)))
def test_it_does_what_a_plain_list_does(first_limit: int, size: int, steps: list[tuple[str, int | None, int]]) -> None:
    """The same one enters, waits, goes, runs; never more than the limit, none is lost, nobody waits beside a free permit."""
    queue, model = Queue(), Model()
    limit: int | None = first_limit
    seen: list[Ticket] = []
    longest = 0
    for what, a, b in steps:
        ran = model.running
        if what == "enter" and a is not None:
            entry = queue.enter(limit, size, a, critical=bool(b))
            model.entered(entry, limit, size, (a, bool(b)))
            seen += [entry.ticket] if isinstance(entry, Queued) else []
        elif what == "hedge":
            free = model.room(limit)
            assert queue.try_enter(limit) is free
            model.running += free
        elif what == "leave" and ran:
            model.running -= 1
            model.woken(queue.leave(limit), limit)
        elif what == "forget" and a is not None and seen:
            ticket = seen[a % len(seen)]
            queue.forget(ticket)
            if ticket in model.waiting:
                model.waiting.remove(ticket)
                assert ticket.stand is Stand.FORGOTTEN
        elif what == "reload":
            limit, size = a, b
            model.woken(queue.admit(limit), limit)
        longest = max(size, min(longest, len(model.waiting)))
        assert (queue.running, len(queue)) == (model.running, len(model.waiting))
        assert len(queue) <= longest
        assert limit is None or queue.running <= max(limit, ran)
        assert not queue or not model.room(limit)
        assert [ticket for ticket in seen if ticket.stand is Stand.WAITING] == sorted(model.waiting, key=lambda at: at.seq)


@given(st.integers(1, 3), st.integers(0, 5), st.lists(calm, max_size=40))
def test_everybody_who_entered_leaves_an_empty_queue(limit: int, size: int, steps: list[tuple[str, int, bool]]) -> None:
    """When all permits have been given back, none is out and nobody waits: no wake-up was lost and no permit leaked."""
    queue = Queue()
    for what, a, critical in steps:
        if what == "enter":
            queue.enter(limit, size, a, critical=critical)
        elif what == "hedge":
            queue.try_enter(limit)
        elif what == "leave" and queue.running:
            queue.leave(limit)
    while queue.running:
        queue.leave(limit)
    assert len(queue) == 0
    assert all(queue.try_enter(limit) for _ in range(limit))
