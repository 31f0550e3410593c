"""The short way to choose an endpoint chooses as the long one does, wherever it chooses at all."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.model.policy import Balance, BreakerRule, LimitRule, Policy, RateRule
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.breaker import Judgement
from dispatcher.policies.picking import Ask, Picked, pick, quick
from fanmesh.model.times import MS, SECOND
from tests.kit.effort import tries

RULE = BreakerRule(consecutive=1, rate_over=None, open_initial=SECOND)


@dataclass(frozen=True)
class Place:
    """An endpoint."""

    address: str
    spare: bool = False
    up: bool = True

    def ready(self) -> bool:
        """Whether it is connected."""
        return self.up


units = st.floats(0, 1, exclude_max=True)
histories = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(1, 400), max_size=3)), min_size=1, max_size=5)
limits = st.builds(LimitRule, endpoint_in_flight=st.sampled_from([None, 2, 9]), rate=st.sampled_from([None, RateRule(9.0, 2)]))
policies = st.builds(Policy, st.just("p"), breaker=st.sampled_from([None, RULE]), balance=st.sampled_from(Balance))


def known(history: list[tuple[int, list[int]]]) -> tuple[WorkerBook, list[Place]]:
    """A worker with an endpoint for each entry: calls in flight, latencies in ms."""
    book, places = WorkerBook("w"), [Place(str(i)) for i in range(len(history))]
    for place, (flying, latencies) in zip(places, history, strict=True):
        endpoint = book.endpoint(place.address)
        for _ in range(flying):
            endpoint.in_flight.take(None)
        for at, latency in enumerate(latencies):
            endpoint.ewma.observe(latency * MS, at)
    return book, places


def taken(book: WorkerBook) -> list[int]:
    """Permits that are out, by endpoint."""
    return [endpoint.in_flight.count for endpoint in book.endpoints.values()]


@settings(max_examples=tries(400))
@given(histories, policies, limits, units, units)
def test_it_chooses_what_the_long_way_chooses(
    history: list[tuple[int, list[int]]], policy: Policy, limit: LimitRule, u: float, v: float
) -> None:
    """With everybody connected and closed: the same endpoint, the same permit, the same books afterwards; or nothing at all."""
    book, places = known(history)
    other = deepcopy(book)
    short = quick(book, places, policy, limit, SECOND, u, v)
    if short is None:
        assert taken(book) == taken(other)
        return
    long = pick(other, places, Ask(policy, limit, (), elsewhere=False, until=2 * SECOND), SECOND, u, v)
    assert isinstance(long, Picked)
    assert (short.at, short.permit, short.forced) == (long.at, long.permit, long.forced)
    assert taken(book) == taken(other)


@given(units, units)
def test_it_leaves_what_is_out_of_the_ordinary_to_the_long_way(u: float, v: float) -> None:
    """A breaker that is not closed, one that is drawn and not connected or is a spare, no endpoint, turns: None."""
    balanced, turns = Policy("p", breaker=RULE), Policy("p", balance=Balance.ROUND_ROBIN)
    a, b, down, spare = Place("a"), Place("b"), Place("c", up=False), Place("a", spare=True)
    none = LimitRule()
    book = WorkerBook("w")
    assert quick(book, [], balanced, none, 0, u, v) is None
    assert quick(book, [spare], balanced, none, 0, u, v) is None
    assert quick(book, [a, spare], balanced, none, 0, u, v) is None
    assert quick(book, [a, down], balanced, none, 0, u, v) is None
    assert quick(book, [a, b], turns, none, 0, u, v) is None
    permit = book.endpoint("b").breaker.acquire(0, SECOND)
    assert permit is not None
    book.endpoint("b").breaker.settle(permit, Judgement.FAILURE, RULE, 0, 0.0)
    book.recount()
    assert quick(book, [a], balanced, none, 0, u, v) is None
