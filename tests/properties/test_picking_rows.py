"""Any books and any row of calls: what was taken is given back, and an open endpoint is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.model.policy import Balance, BreakerRule, LimitRule, Policy, RateRule
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.breaker import State
from dispatcher.policies.picking import STRANGER, Ask, Picked, pick
from dispatcher.policies.settling import settle
from fanmesh.model.fault import REFUSALS, Code, Fault
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.times import MS, SECOND
from tests.kit.effort import tries

RULE = BreakerRule(consecutive=2, rate_over=0.5, min_requests=4, open_initial=100 * MS, open_max=SECOND)


@dataclass(frozen=True)
class Place:
    """An endpoint."""

    address: str
    spare: bool
    up: bool

    def ready(self) -> bool:
        """Whether it is connected."""
        return self.up


units = st.floats(0, 1, exclude_max=True)
places = st.lists(
    st.builds(Place, st.sampled_from("abcd"), st.booleans(), st.booleans()),
    min_size=1,
    max_size=6,
    unique_by=lambda p: (p.address, p.spare),
)
outcomes = st.sampled_from(
    [None, Success(1), Fault.unavailable(), Fault.unavailable(), Fault.of(Code.RESOURCE_EXHAUSTED), Fault.not_found("x")]
)
calls = st.tuples(st.just("call"), st.lists(st.integers(0, 5), max_size=3), st.booleans(), units, units)
ends = st.tuples(st.just("end"), st.integers(0, 20), outcomes, units)
limits = st.builds(
    LimitRule,
    endpoint_in_flight=st.sampled_from([None, 1, 3]),
    rate=st.sampled_from([None, RateRule(20.0, 2)]),
)
policies = st.builds(Policy, st.just("p"), breaker=st.sampled_from([None, RULE, RULE]), balance=st.sampled_from(Balance))


class World:
    """A worker under any calls."""

    def __init__(self, targets: list[Place], policy: Policy, limit: LimitRule) -> None:
        self.targets, self.policy, self.limit = targets, policy, limit
        self.book = WorkerBook("w")
        self.out: list[tuple[Picked, int]] = []
        self.now = 0

    def counts(self) -> dict[str, int]:
        """Calls in flight, as the books have them."""
        return {address: one.in_flight.count for address, one in self.book.endpoints.items() if one.in_flight.count}

    def call(self, tried: list[int], u: float, v: float, *, elsewhere: bool) -> None:
        """An attempt asks for an endpoint."""
        been = [(p.address, p.spare) for p in (self.targets[i % len(self.targets)] for i in tried)]
        states = {p.address: self.book.endpoint(p.address).breaker.state for p in self.targets}
        before, failed_open = self.counts(), self.book.fail_open
        found = pick(self.book, self.targets, Ask(self.policy, self.limit, been, elsewhere, self.now + 50 * MS), self.now, u, v)
        if isinstance(found, Fault):
            assert self.counts() == before
            assert found.kind in REFUSALS or all(place.spare for place in self.targets)
            assert not found.sent
            return
        place = self.targets[found.at]
        self.out.append((found, self.now))
        assert self.counts() == {**before, place.address: before.get(place.address, 0) + 1}
        assert self.limit.endpoint_in_flight is None or self.counts()[place.address] <= self.limit.endpoint_in_flight
        assert not place.spare or (place.address, False) in been
        assert not elsewhere or (place.address, place.spare) not in been
        if self.policy.breaker is None:
            assert found.permit == STRANGER
        elif states[place.address] is not State.CLOSED:
            assert found.permit.probe or found.forced
            assert not (elsewhere and found.permit.probe)
        assert found.forced == (self.book.fail_open > failed_open)

    def end(self, which: int, outcome: Outcome | None, u: float) -> None:
        """One of the calls that are out is over."""
        if self.out:
            found, sent = self.out.pop(which % len(self.out))
            settle(
                self.book,
                found,
                self.policy,
                outcome,
                sent_at=sent,
                deadline=sent + 50 * MS,
                answered_at=None,
                now=self.now,
                u=u,
            )


@settings(max_examples=tries(300))
@given(
    targets=places,
    policy=policies,
    limit=limits,
    row=st.lists(st.tuples(st.integers(0, 120), st.one_of(calls, ends)), max_size=60),
)
def test_permits_balance_and_open_endpoints_are_left_alone(
    targets: list[Place], policy: Policy, limit: LimitRule, row: list[Any]
) -> None:
    """A call that is not closed is a probe, a trial or forced; refusals take nothing; and in the end nothing is out."""
    world = World(targets, policy, limit)
    for passes, what in row:
        world.now += passes * MS
        match what:
            case ("call", tried, elsewhere, u, v):
                world.call(tried, u, v, elsewhere=elsewhere)
            case ("end", which, outcome, u):
                world.end(which, outcome, u)
    while world.out:
        world.end(0, Success(1), 0.0)
    assert world.counts() == {}


@settings(max_examples=tries(200))
@given(shut=st.integers(0, 8), well=st.integers(1, 8), u=units, v=units)
def test_at_most_half_are_left_out(shut: int, well: int, u: float, v: float) -> None:
    """Of n endpoints at least half, rounded up, may be called, and one that is well is always among them."""
    book, count = WorkerBook("w"), shut + well
    targets = [Place(f"p{i}", spare=False, up=True) for i in range(count)]
    for place in targets[:shut]:
        breaker = book.endpoint(place.address).breaker
        breaker.state, breaker.retry_at = State.OPEN, SECOND
    ask = Ask(Policy("p", breaker=RULE, balance=Balance.ROUND_ROBIN), LimitRule(), [], False, SECOND)
    seen = set()
    for _ in range(count):
        found = pick(book, targets, ask, 0, u, v)
        assert isinstance(found, Picked)
        seen.add(found.at)
    assert len(seen) >= max(1, count - count // 2)
    assert seen & set(range(shut, count))
