"""The table "What each ending does", as far as books go: breaker, latencies, permits."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import BreakerRule, LimitRule, Policy
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.breaker import State, Transition
from dispatcher.policies.picking import Ask, Picked, pick
from dispatcher.policies.settling import settle
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.times import MS, SECOND

K = FaultKind


class Place:
    """The only endpoint."""

    address = "a"
    spare = False

    def ready(self) -> bool:
        """It is connected."""
        return True


POLICY = Policy("b", breaker=BreakerRule(consecutive=1, rate_over=None))
OK = Success(1)
OUR_TIMEOUT = Fault(K.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED)
UNAVAILABLE, LIMITED = Fault.of(Code.UNAVAILABLE), Fault.of(Code.RESOURCE_EXHAUSTED)
DEADLINE = 100 * MS


def picked(book: WorkerBook, policy: Policy = POLICY, at: int = 0) -> Picked:
    """An attempt leaves for the only endpoint."""
    found = pick(book, [Place()], Ask(policy, LimitRule(), [], False, SECOND), at, 0.0, 0.0)
    assert isinstance(found, Picked)
    return found


def over(
    book: WorkerBook, outcome: Outcome | None, took: int = 20, *, policy: Policy = POLICY, answered: int | None = None
) -> Transition | None:
    """An attempt that had 100 ms is over after `took` ms."""
    return settle(
        book,
        picked(book, policy),
        policy,
        outcome,
        sent_at=0,
        deadline=DEADLINE,
        answered_at=None if answered is None else answered * MS,
        now=took * MS,
        u=0.0,
    )


@pytest.mark.parametrize(
    ("outcome", "took", "state", "samples", "censored", "slower"),
    [
        # opens    latencies of the worker: answered, cut off    and of the endpoint
        (OK, 20, State.CLOSED, 1, 0, 20),
        (UNAVAILABLE, 20, State.OPEN, 0, 0, 20),  # at least as slow as it was
        (UNAVAILABLE, 1, State.OPEN, 0, 0, 10),  # a fast failure counts as slow
        (Fault.of(Code.UNKNOWN), 1, State.OPEN, 0, 0, 10),
        (Fault.of(Code.INTERNAL), 1, State.OPEN, 0, 0, 10),
        (Fault.of(Code.DATA_LOSS), 1, State.OPEN, 0, 0, 10),
        (LIMITED, 1, State.CLOSED, 0, 0, 10),  # not a failure in a row
        (Fault.not_found("x"), 1, State.CLOSED, 0, 0, 0),
        (Fault.of(Code.CANCELLED), 1, State.CLOSED, 0, 0, 0),
        (Fault.of(Code.DEADLINE_EXCEEDED), 100, State.OPEN, 0, 0, 100),
        (OUR_TIMEOUT, 100, State.OPEN, 0, 1, 100),
        (Fault(K.CANCELLED, Code.CANCELLED), 20, State.CLOSED, 0, 0, 0),
        (None, 20, State.CLOSED, 0, 1, 20),  # we cancelled it: it would have taken longer
        (None, 100, State.OPEN, 0, 1, 100),  # cancelled at its deadline: it ran out of time
        (None, 101, State.OPEN, 0, 1, 101),
    ],
)
def test_each_ending(outcome: Outcome | None, took: int, state: State, samples: int, censored: int, slower: int) -> None:
    """What the breaker makes of it, what the worker's latencies learn, and how slow the endpoint looks afterwards."""
    book = WorkerBook("w")
    change = over(book, outcome, took)
    endpoint, latencies = book.endpoint("a"), book.latencies
    assert (endpoint.breaker.state, change is not None) == (state, state is State.OPEN)
    assert (latencies._sum.n_done, latencies._sum.n_cut) == (samples, censored)
    assert endpoint.ewma.estimate(took * MS) == slower * MS
    assert endpoint.in_flight.count == 0


@pytest.mark.parametrize(("usual", "fair"), [(90, True), (130, False)])
@pytest.mark.parametrize("outcome", [None, OUR_TIMEOUT, Fault.of(Code.DEADLINE_EXCEEDED)])
def test_a_fair_budget(usual: int, outcome: Outcome | None, fair: bool) -> None:  # noqa: FBT001  (a table)
    """An attempt that had less than its usual latency says nothing about the endpoint by running out of time."""
    book = WorkerBook("w")
    for _ in range(10):
        over(book, OK, usual)
    before = book.endpoint("a").ewma.estimate(100 * MS)
    over(book, outcome, 100)
    assert book.endpoint("a").breaker.state is (State.OPEN if fair else State.CLOSED)
    assert (book.endpoint("a").ewma.estimate(100 * MS) > before) is fair


def test_other_codes_need_no_fair_budget() -> None:
    """UNAVAILABLE is a failure however little time there was."""
    book = WorkerBook("w")
    over(book, OK, 130)
    over(book, UNAVAILABLE, 1)
    assert book.endpoint("a").breaker.state is State.OPEN


def test_a_loser_that_was_fast_changes_nothing() -> None:
    """Cancelled before the endpoint's own latency had passed: it does not look slower, and not faster either."""
    book = WorkerBook("w")
    over(book, OK, 50)
    samples = book.endpoint("a").ewma.samples
    over(book, None, 20)
    assert (book.endpoint("a").ewma.samples, book.latencies._sum.n_cut) == (samples, 1)


def test_a_stream_is_as_fast_as_its_first_part() -> None:
    """That is what a race is decided by; how long the rest takes is no latency."""
    book = WorkerBook("w")
    over(book, OK, 90, answered=10)
    assert book.endpoint("a").ewma.estimate(90 * MS) == 10 * MS
    assert (book.latencies.quantile(1.0, 90 * MS) or 0) <= 10.5 * MS


@pytest.mark.parametrize("outcome", [OK, UNAVAILABLE, None])
def test_without_a_breaker(outcome: Outcome | None) -> None:
    """Latencies are learnt and permits given back; the breaker is not told."""
    book = WorkerBook("w")
    assert over(book, outcome, policy=Policy("p")) is None
    assert (book.endpoint("a").breaker.state, book.endpoint("a").in_flight.count) == (State.CLOSED, 0)
    assert (book.latencies._sum.n_done, book.latencies._sum.n_cut) == (outcome is OK, outcome is None)


def test_a_call_without_a_permit_of_the_breaker() -> None:
    """It began before the policy had a breaker: its failure opens nothing."""
    book = WorkerBook("w")
    stranger = picked(book, Policy("p"))
    change = settle(book, stranger, POLICY, UNAVAILABLE, sent_at=0, deadline=DEADLINE, answered_at=None, now=MS, u=0.0)
    assert (change, book.endpoint("a").breaker.state) == (None, State.CLOSED)


def test_a_change_is_counted_and_holds_trials_back() -> None:
    """After a breaker has opened the worker is left alone for `open_initial`, also if it was the last endpoint."""
    book = WorkerBook("w")
    over(book, UNAVAILABLE, 20)
    assert (book.counts, book.trial_at) == ({("breaker", "consecutive"): 1}, 20 * MS + SECOND)


def test_a_probe_that_recovers() -> None:
    """Its success closes the breaker, and that is counted, too."""
    book = WorkerBook("w")
    over(book, UNAVAILABLE, 20)
    probe = picked(book, at=3 * SECOND)
    change = settle(book, probe, POLICY, OK, sent_at=3 * SECOND, deadline=4 * SECOND, answered_at=None, now=3 * SECOND, u=0.0)
    assert change is not None
    assert (change.after, book.counts["breaker", "recovered"], book.trial_at) == (State.CLOSED, 1, 20 * MS + SECOND)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (UNAVAILABLE, State.OPEN),
        (LIMITED, State.OPEN),
        (Fault.invalid_argument("x"), State.HALF_OPEN),
        (None, State.HALF_OPEN),
    ],
)
def test_a_probe_that_does_not(outcome: Outcome | None, state: State) -> None:
    """Too busy fails a probe as well; what says nothing makes room for the next one at once."""
    book = WorkerBook("w")
    over(book, UNAVAILABLE, 20)
    probe, now = picked(book, at=3 * SECOND), 3 * SECOND + MS
    settle(book, probe, POLICY, outcome, sent_at=3 * SECOND, deadline=4 * SECOND, answered_at=None, now=now, u=0.0)
    breaker = book.endpoint("a").breaker
    assert (breaker.state, breaker.admits(now)) == (state, state is State.HALF_OPEN)
