"""Where an attempt goes, and what is taken there. `1.0-` is the last number below 1 that is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dispatcher.model.policy import NO_LIMIT, Balance, BreakerRule, LimitRule, Policy, RateRule
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.breaker import Judgement, Permit, State
from dispatcher.policies.picking import STRANGER, Ask, Picked, nowhere, pick, refused
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.times import MS, SECOND

RULE = BreakerRule(consecutive=1, rate_over=None, open_initial=SECOND)
BROKEN = Policy("b", breaker=RULE)
PLAIN = Policy("p")
TURNS = Policy("t", balance=Balance.ROUND_ROBIN)
LATER = 10 * SECOND


@dataclass(frozen=True)
class Place:
    """An endpoint."""

    address: str
    spare: bool = False
    up: bool = True

    def ready(self) -> bool:
        """Whether it is connected."""
        return self.up


A, B, C, E = (Place(name) for name in "abce")
SPARE = Place("a", spare=True)


def ask(policy: Policy = PLAIN, *tried: Place, elsewhere: bool = False, limit: LimitRule = NO_LIMIT) -> Ask:
    """What is asked, after these endpoints have been tried."""
    return Ask(policy, limit, [(place.address, place.spare) for place in tried], elsewhere, LATER)


def book(*broken: Place, at: int = 0) -> WorkerBook:
    """A worker's book; these endpoints' breakers are open since `at`, for a second."""
    made = WorkerBook("w")
    for place in broken:
        breaker = made.endpoint(place.address).breaker
        permit = breaker.acquire(at, LATER)
        assert permit is not None
        breaker.settle(permit, Judgement.FAILURE, RULE, at, 0.0)
    return made


def where(found: Picked | Fault, places: list[Place]) -> str:
    """The address that was chosen, marked + if it is the spare connection; or the reason of the refusal."""
    if isinstance(found, Fault):
        return found.kind.value
    place = places[found.at]
    assert found.book.address == place.address
    return place.address + "+" * place.spare


# ---------------------------------------------------------------------- the better of two


@pytest.mark.parametrize(
    ("out", "u", "v", "chosen"),
    [
        ((0, 0), 0.0, 0.0, "a"),  # a tie: the first one drawn
        ((0, 0), 0.5, 0.0, "b"),
        ((1, 0), 0.0, 0.0, "b"),
        ((0, 1), 0.5, 0.0, "a"),
        ((2, 1, 0), 0.0, 0.0, "b"),  # two are drawn, not all
        ((2, 1, 0), 0.0, 0.99, "c"),
        ((2, 1, 0), 0.34, 0.0, "b"),
        ((2, 1, 0), 0.34, 0.99, "c"),
        ((0, 1, 2), 0.99, 0.0, "a"),
        ((0, 1, 2), 0.99, 0.99, "b"),
    ],
)
def test_the_less_loaded_of_two_that_are_drawn(out: tuple[int, ...], u: float, v: float, chosen: str) -> None:
    """Power of two choices; without samples the outstanding calls alone are compared (a neutral prior)."""
    places, made = [A, B, C][: len(out)], book()
    for place, count in zip(places, out, strict=True):
        made.endpoint(place.address).in_flight.count = count
    assert where(pick(made, places, ask(), 0, u, v), places) == chosen


@pytest.mark.parametrize(
    ("latencies", "out", "chosen"),
    [
        ((10, 5), (0, 0), "b"),
        ((10, 5), (0, 2), "a"),  # 10 · 1 < 5 · 3
        ((10, 5), (0, 1), "a"),  # equal: the first one drawn
        ((5, 10), (1, 0), "a"),
        ((5, None), (0, 0), "a"),  # nobody knows b: as fast as a
        ((5, None), (1, 0), "b"),
        ((500, None), (0, 1), "a"),
        ((None, 500), (1, 0), "b"),
    ],
)
def test_latency_times_what_is_outstanding(latencies: tuple[int | None, ...], out: tuple[int, ...], chosen: str) -> None:
    """Peak EWMA · (outstanding + 1); one that nobody knows is judged by its outstanding calls alone."""
    made, places = book(), [A, B]
    for place, latency, count in zip(places, latencies, out, strict=True):
        one = made.endpoint(place.address)
        one.in_flight.count = count
        if latency is not None:
            one.ewma.observe(latency * MS, 0)
    assert where(pick(made, places, ask(), 0, 0.0, 0.0), places) == chosen


def test_turns() -> None:
    """`round_robin`: one after the other, by the worker's own count, whatever is drawn."""
    made, places = book(), [A, B, C]
    assert [where(pick(made, places, ask(TURNS), 0, 0.9, 0.9), places) for _ in range(4)] == ["a", "b", "c", "a"]


def test_one_endpoint() -> None:
    """There is nothing to choose, and no turn is used up."""
    made = book()
    assert where(pick(made, [A], ask(TURNS), 0, 0.9, 0.9), [A]) == "a"
    assert made.turn == 0


# ---------------------------------------------------------------------- who may be asked


@pytest.mark.parametrize(
    ("places", "tried", "elsewhere", "chosen"),
    [
        ([A, B, C], [A], False, "b"),
        ([A, B, C], [B, A], False, "c"),
        ([A, B], [A, B], False, "a"),  # all have been tried: again
        ([A], [A], False, "a"),
        ([A, B], [A], True, "b"),
        ([A, B], [A, B], True, "overloaded"),  # a hedge goes to another one, or nowhere
        ([A], [A], True, "overloaded"),
        ([A, SPARE], [], False, "a"),  # the second connection is for an attempt beside one on the first
        ([SPARE, A], [], False, "a"),
        ([A, SPARE], [A], True, "a+"),
        ([A, SPARE], [A], False, "a+"),
        ([A, SPARE], [A, SPARE], True, "overloaded"),
        ([A, SPARE], [A, SPARE], False, "a"),
        ([A, SPARE, B], [A], False, "a+"),
        ([A, SPARE, B], [B], True, "a"),
        ([SPARE], [], False, "worker_error"),
        ([Place("d", up=False), A], [], False, "a"),  # not connected
        ([A, Place("d", up=False)], [A], False, "d"),  # untried before connected
        ([Place("d", up=False), Place("e", up=False)], [], False, "d"),  # nobody is connected: it may have come back
        ([Place("d", up=False)], [], False, "d"),
    ],
)
def test_who_may_be_asked(places: list[Place], tried: list[Place], elsewhere: bool, chosen: str) -> None:  # noqa: FBT001  (a table)
    """Untried before tried, connected before not connected, second connections only beside their first."""
    assert where(pick(book(), places, ask(PLAIN, *tried, elsewhere=elsewhere), 0, 0.0, 0.0), places) == chosen


def test_no_address() -> None:
    """It was never sent, may be tried again, and names the target."""
    fault = nowhere("geo", "dns:///geo:1")
    assert (fault.kind, fault.code, fault.sent, fault.retryable) == (FaultKind.WORKER_ERROR, Code.UNAVAILABLE, False, True)
    assert "geo" in fault.detail
    assert "dns:///geo:1" in fault.detail


# ---------------------------------------------------------------------- limits


def test_a_full_endpoint_is_passed_over() -> None:
    """A refusal moves on to the next candidate at once, and takes nothing."""
    made, limit = book(), LimitRule(endpoint_in_flight=1)
    found = [where(pick(made, [A, B], ask(limit=limit), 0, 0.0, 0.0), [A, B]) for _ in range(3)]
    assert found == ["a", "b", "overloaded"]
    assert [made.endpoint(name).in_flight.count for name in "ab"] == [1, 1]


def test_the_rate_of_an_endpoint() -> None:
    """A bucket of one: the next call goes to the next endpoint, the third is refused, and a second later there is a token."""
    made, limit = book(), LimitRule(rate=RateRule(1.0, 1))
    found = [where(pick(made, [A, B], ask(limit=limit), 0, 0.0, 0.0), [A, B]) for _ in range(3)]
    assert found == ["a", "b", "rate_limited"]
    assert where(pick(made, [A], ask(limit=limit), SECOND, 0.0, 0.0), [A]) == "a"


def test_a_full_endpoint_costs_no_token() -> None:
    """Refused for its calls in flight: its rate is untouched."""
    made, limit = book(), LimitRule(endpoint_in_flight=1, rate=RateRule(1.0, 1))
    made.endpoint("a").in_flight.count = 1
    assert where(pick(made, [A], ask(limit=limit), 0, 0.0, 0.0), [A]) == "overloaded"
    made.endpoint("a").in_flight.count = 0
    assert where(pick(made, [A], ask(limit=limit), 0, 0.0, 0.0), [A]) == "a"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.BREAKER_OPEN, Code.UNAVAILABLE),
        (FaultKind.OVERLOADED, Code.RESOURCE_EXHAUSTED),
        (FaultKind.RATE_LIMITED, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_refusals(kind: FaultKind, code: Code) -> None:
    """Ours, never sent, with the reason; and not to be retried by whoever reads them."""
    fault = refused(kind)
    assert (fault.kind, fault.code, fault.sent, fault.retryable) == (kind, code, False, False)


# ---------------------------------------------------------------------- what is open


def test_without_a_breaker_there_is_no_permit() -> None:
    """A policy without one neither asks nor tells a breaker that another policy has opened."""
    found = pick(book(A), [A], ask(), 0, 0.0, 0.0)
    assert isinstance(found, Picked)
    assert (found.permit, found.forced) == (STRANGER, False)


def test_a_closed_breaker_gives_its_permit() -> None:
    """The permit belongs to the generation of the breaker."""
    found = pick(book(), [A], ask(BROKEN), 0, 0.0, 0.0)
    assert isinstance(found, Picked)
    assert found.permit == Permit(0, probe=False)


@pytest.mark.parametrize(
    ("places", "broken", "u", "chosen"),
    [
        ([A, B], [A], 0.0, "b"),
        ([A, B], [A], 0.9, "b"),
        ([A, B, C], [A, B], 0.0, "a"),  # one of three may be left out: the one longest open is not
        ([A, B, C], [A, B], 0.9, "c"),
        ([A, B, C, E], [A, B], 0.0, "c"),
        ([A, B, C, E], [A, B, C], 0.0, "a"),
    ],
)
def test_at_most_half_are_left_out(places: list[Place], broken: list[Place], u: float, chosen: str) -> None:
    """The survivors must not be handed the whole load: beyond half, those that would be tried next are called all the same."""
    made = book(*broken)
    for late, place in enumerate(broken):
        made.endpoint(place.address).breaker.retry_at += late
    found = pick(made, places, ask(BROKEN), 0, u, 0.0)
    assert where(found, places) == chosen
    assert isinstance(found, Picked)
    open_ = Place(chosen) in broken
    assert (found.forced, found.permit == STRANGER, made.fail_open) == (open_, open_, int(open_))


def test_one_is_always_kept() -> None:
    """All but one open: the one that is closed may be called."""
    places = [A, B, C, E]
    made = book(A, B, C)
    assert "e" in {where(pick(made, places, ask(BROKEN), 0, u / 10, v / 10), places) for u in range(10) for v in range(10)}


@pytest.mark.parametrize(
    ("now", "tried", "elsewhere", "chosen"),
    [
        (SECOND - 1, [], False, "b"),  # not yet
        (SECOND, [], False, "a"),  # due: a real call finds out, before any other choice
        (SECOND, [], True, "b"),  # never a hedge
        (SECOND, [A], False, "b"),  # never twice for one branch
        (SECOND, [B], False, "a"),
    ],
)
def test_a_probe_comes_first(now: int, tried: list[Place], elsewhere: bool, chosen: str) -> None:  # noqa: FBT001  (a table)
    """An endpoint whose open time is over gets the next call, unless that is a hedge or has been there."""
    made, places = book(A), [A, B]
    found = pick(made, places, ask(BROKEN, *tried, elsewhere=elsewhere), now, 0.9, 0.0)
    assert isinstance(found, Picked)
    assert (where(found, places), found.permit.probe, found.forced) == (chosen, chosen == "a", False)
    assert made.counts == ({("breaker", "probe"): 1} if chosen == "a" else {})
    assert made.endpoint("a").breaker.state is (State.HALF_OPEN if chosen == "a" else State.OPEN)


def test_one_probe_at_a_time() -> None:
    """While the probe is out all others go elsewhere, until it lapses at its deadline."""
    made, places = book(A), [A, B]
    found = [where(pick(made, places, ask(BROKEN), at, 0.0, 0.0), places) for at in (SECOND, SECOND, LATER - 1, LATER)]
    assert found == ["a", "b", "b", "a"]


def test_a_second_connection_does_not_probe() -> None:
    """The probe of an address goes over its first connection; the second one would repeat it."""
    made = book(A)
    assert where(pick(made, [SPARE, A], ask(BROKEN), SECOND, 0.0, 0.0), [SPARE, A]) == "a"
    tried = book(A)
    assert where(pick(tried, [A, SPARE], ask(BROKEN, A), SECOND, 0.0, 0.0), [A, SPARE]) == "breaker_open"


def test_a_full_endpoint_is_not_probed() -> None:
    """Its limits hold for probes, too, and a refused probe takes no permit."""
    made, limit = book(A), LimitRule(endpoint_in_flight=1)
    made.endpoint("a").in_flight.count = 1
    assert where(pick(made, [A, B], ask(BROKEN, limit=limit), SECOND, 0.0, 0.0), [A, B]) == "b"
    assert made.endpoint("a").breaker.state is State.OPEN


def test_a_forced_endpoint_is_not_tried_twice() -> None:
    """When all have been tried those with a closed breaker are tried again, and no other."""
    places, made = [A, B, C], book(A, B)
    assert {where(pick(made, places, ask(BROKEN, A, B, C), 0, u / 10, 0.0), places) for u in range(10)} == {"c"}


# ---------------------------------------------------------------------- all of them are open


def test_all_are_open() -> None:
    """One call per `open_initial` goes to the one that would be tried next; all others are refused with the reason."""
    made, places = book(B, at=1), [A, B]
    breaker = book(A).endpoint("a")
    made.endpoints["a"] = breaker
    found = [where(pick(made, places, ask(BROKEN), 5, 0.9, 0.9), places) for _ in range(3)]
    assert (found, made.fail_open) == (["a", "breaker_open", "breaker_open"], 1)
    assert where(pick(made, places, ask(BROKEN), SECOND, 0.0, 0.0), places) == "breaker_open"  # a's trial is out
    assert where(pick(made, places, ask(BROKEN), SECOND + 1, 0.0, 0.0), places) == "b"  # b is due: a probe
    assert where(pick(made, places, ask(BROKEN), SECOND + 5, 0.0, 0.0), places) == "breaker_open"  # both are out


def test_a_trial_is_a_forced_probe() -> None:
    """It has the breaker's permit, so that its success closes the breaker."""
    made = book(A)
    found = pick(made, [A], ask(BROKEN), 5, 0.0, 0.0)
    assert isinstance(found, Picked)
    assert (found.permit.probe, found.forced) == (True, True)
    made.endpoint("a").breaker.settle(found.permit, Judgement.SUCCESS, RULE, 6, 0.0)
    assert made.endpoint("a").breaker.state is State.CLOSED


@pytest.mark.parametrize(("tried", "elsewhere"), [([], True), ([A], False), ([A], True)])
def test_no_trial_for_a_hedge_nor_twice(tried: list[Place], elsewhere: bool) -> None:  # noqa: FBT001  (a table)
    """A hedge looks for somebody healthy, and a retry has seen this one."""
    assert where(pick(book(A), [A], ask(BROKEN, *tried, elsewhere=elsewhere), 5, 0.0, 0.0), [A]) == "breaker_open"


def test_a_trial_passes_over_a_full_endpoint() -> None:
    """The next one is tried; if none has room the breaker is the reason."""
    made, limit, places = book(A, B), LimitRule(endpoint_in_flight=1), [A, B]
    made.endpoint("a").in_flight.count = 1
    assert where(pick(made, places, ask(BROKEN, limit=limit), 5, 0.0, 0.0), places) == "b"
    full = book(A)
    full.endpoint("a").in_flight.count = 1
    assert where(pick(full, [A], ask(BROKEN, limit=limit), 5, 0.0, 0.0), [A]) == "breaker_open"
    assert full.trial_at == 0
