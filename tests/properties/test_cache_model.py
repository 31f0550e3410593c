"""The kept answers beside a plain list, and equal calls beside plain lists of who waits, for any sequence of events."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.caching import CacheRule, Kept
from dispatcher.policies.cache import Found, Store
from dispatcher.policies.coalescing import Flight, Flights, Stand, Waiter

keys = st.sampled_from([b"a", b"b", b"c", b"d"])
steps = st.lists(
    st.tuples(st.sampled_from(["fresh", "stand_in", "store", "drop"]), keys, st.integers(0, 6), st.integers(0, 7)), max_size=60
)


class Held(NamedTuple):
    """An answer in the model."""

    key: bytes
    size: int
    at: int


class Model:
    """The rules, word by word: one list, the least lately used first, searched from end to end."""

    def __init__(self, rule: CacheRule) -> None:
        self.rule = rule
        self.held: list[Held] = []

    def ask(self, key: bytes, now: int, within: int) -> Found | None:
        """What is found under a key, if it is younger than `within`."""
        found = next((one for one in self.held if one.key == key and now - one.at < within), None)
        if found is None:
            return None
        self.held.remove(found)
        self.held.append(found)
        return Found(Kept(b"x" * found.size), now - found.at)

    def store(self, key: bytes, size: int, now: int) -> None:
        """Keep it, and as many of the others as fit beside it."""
        rule = self.rule
        most = rule.ttl + rule.stale
        self.held = [one for one in self.held if one.key != key and now - one.at < most]
        if most == 0 or size > rule.size:
            return
        while len(self.held) + 1 > rule.entries or sum(one.size for one in self.held) + size > rule.size:
            self.held.pop(0)
        self.held.append(Held(key, size, now))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 3), st.integers(1, 12), steps)
def test_it_keeps_what_a_plain_list_keeps(
    ttl: int, stale: int, entries: int, size: int, events: list[tuple[str, bytes, int, int]]
) -> None:
    """The same is found at the same age, the same makes room, and neither bound is ever passed."""
    rule = CacheRule(ttl, stale, entries, size)
    store, model, now = Store(rule), Model(rule), 0
    for what, key, passed, much in events:
        now += passed
        match what:
            case "fresh":
                assert store.fresh(key, now) == model.ask(key, now, ttl)
            case "stand_in":
                assert store.stand_in(key, now) == model.ask(key, now, ttl + stale)
            case "store":
                store.store(key, Kept(b"x" * much), now)
                model.store(key, much, now)
            case _:
                store.drop(key)
                model.held = [one for one in model.held if one.key != key]
        alive = [one for one in model.held if now - one.at < ttl + stale]
        assert len(alive) <= len(store) <= entries
        assert sum(one.size for one in alive) <= store.bytes <= size
    store.fresh(b"", now)  # whoever asks drops what is past all use
    assert len(store) == len([one for one in model.held if now - one.at < ttl + stale])


moves = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "landed", "hand_over", "forget"]), st.integers(0, 2), st.integers(0, 9), st.booleans()
    )
)


@given(moves)
def test_one_of_a_key_leads_whoever_waits(events: list[tuple[str, int, int, bool]]) -> None:
    """Two only if the second is more urgent, and the first has not left. Everybody is served, leads or has gone, in order."""
    flights = Flights()
    open_: list[Flight] = []
    newest: dict[int, Flight] = {}
    least: dict[Flight, int] = {}
    waiting: dict[Flight, list[Waiter]] = {}
    seen: list[Waiter] = []
    for what, key, number, sent in events:
        flight = open_[number % len(open_)] if open_ else None
        if what == "join":
            before = newest.get(key)
            match flights.join(key, number, sent=sent):
                case Flight() as led:
                    assert before is None or (not sent and number < least[before])
                    open_.append(led)
                    newest[key], least[led], waiting[led] = led, number, []
                case waiter:
                    assert before is not None
                    assert waiter.flight is before
                    waiting[before].append(waiter)
                    seen.append(waiter)
        elif what == "landed" and flight is not None:
            assert flights.landed(flight) == waiting.pop(flight)
            open_.remove(flight)
        elif what == "hand_over" and flight is not None:
            line = waiting[flight]
            heir = flights.hand_over(flight)
            assert heir is (line.pop(0) if line else None)
            if heir is None:
                open_.remove(flight)
                del waiting[flight]
            else:
                least[flight] = heir.deadline
        elif what == "forget" and seen:
            waiter = seen[number % len(seen)]
            flights.forget(waiter)
            waiting = {at: [one for one in line if one is not waiter] for at, line in waiting.items()}
        newest = {at: one for at, one in newest.items() if one in open_}
        assert len(flights) == len(open_)
        assert [flights.of(at) for at in range(3)] == [newest.get(at) for at in range(3)]
        assert {one for one in seen if one.stand is Stand.WAITING} == {one for line in waiting.values() for one in line}
