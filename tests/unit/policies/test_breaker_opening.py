"""When a breaker opens, and for how long: the edges of row, rate, window and open time."""

import pytest

from dispatcher.model.policy import BreakerRule
from dispatcher.policies.breaker import Breaker, Judgement, State, Transition, Why
from fanmesh.model.times import MS, SECOND

J, S, W = Judgement, State, Why
CLOSED, OPEN, HALF_OPEN = S.CLOSED, S.OPEN, S.HALF_OPEN

RULE = BreakerRule(consecutive=2, rate_over=None, open_initial=SECOND, open_max=60 * SECOND)
ONE = BreakerRule(consecutive=1, rate_over=None, open_initial=SECOND, open_max=60 * SECOND)
RATE = BreakerRule(consecutive=None, rate_over=0.5, window=10 * SECOND, min_requests=4)
OPENED = 0
DUE = OPENED + SECOND
LAPSED = DUE + 500 * MS


def report(breaker: Breaker, judgement: Judgement, now: int = 0, rule: BreakerRule = RULE, u: float = 0.0) -> Transition | None:
    """One call of a closed breaker, begun and ended at `now`."""
    permit = breaker.acquire(now, now + SECOND)
    assert permit is not None
    return breaker.settle(permit, judgement, rule, now, u)


def opened() -> Breaker:
    """One that opened at OPENED for a second."""
    breaker = Breaker()
    report(breaker, J.FAILURE, OPENED, ONE)
    return breaker


@pytest.mark.parametrize("between", [J.LIMITED, J.NEUTRAL])
def test_a_row_of_failures_is_ended_by_a_success_alone(between: Judgement) -> None:
    """What is too busy, or says nothing, is no failure in a row and does not end one."""
    breaker = Breaker()
    for judgement in (J.FAILURE, J.SUCCESS, J.FAILURE, between, between):
        assert report(breaker, judgement) is None
    assert report(breaker, J.FAILURE) == (CLOSED, OPEN, W.CONSECUTIVE)


def test_signals_that_are_off() -> None:
    """With both signals off nothing opens it."""
    breaker = Breaker()
    rule = BreakerRule(consecutive=None, rate_over=None)
    assert [report(breaker, J.FAILURE, 0, rule) for _ in range(100)] == [None] * 100


@pytest.mark.parametrize("bad", [J.FAILURE, J.LIMITED])
def test_the_rate_opens_above_and_not_at_its_limit(bad: Judgement) -> None:
    """More than `rate_over`: 2 of 4 at 0.5 are not, 3 of 5 are; RESOURCE_EXHAUSTED counts as well."""
    breaker = Breaker()
    for judgement in (J.SUCCESS, J.SUCCESS, bad, bad):
        assert report(breaker, judgement, 0, RATE) is None
    assert report(breaker, bad, 0, RATE) == (CLOSED, OPEN, W.RATE)


@pytest.mark.parametrize(("over", "bad", "every"), [(0.57, 57, 100), (0.1, 3, 30), (0.7, 7, 10), (0.29, 29, 100)])
def test_the_rate_is_compared_exactly(over: float, bad: int, every: int) -> None:
    """57 of 100 are not more than 0.57, although 0.57 · 100 is 56.99… in floats; 58 of 101 are."""
    breaker = Breaker()
    rule = BreakerRule(consecutive=None, rate_over=over, min_requests=every)
    changes = [report(breaker, J.SUCCESS, 0, rule) for _ in range(every - bad)]
    changes += [report(breaker, J.FAILURE, 0, rule) for _ in range(bad)]
    assert changes == [None] * every
    assert report(breaker, J.FAILURE, 0, rule) == (CLOSED, OPEN, W.RATE)


def test_the_rate_needs_min_requests() -> None:
    """All of 3 are too few when `min_requests` is 4; neutral ones do not count."""
    breaker = Breaker()
    for judgement in (J.FAILURE, J.NEUTRAL, J.FAILURE, J.NEUTRAL, J.FAILURE):
        assert report(breaker, judgement, 0, RATE) is None
    assert report(breaker, J.FAILURE, 0, RATE) == (CLOSED, OPEN, W.RATE)


def test_a_success_never_opens() -> None:
    """The answer that makes up the `min_requests` does not open; the next failure does."""
    breaker = Breaker()
    for judgement in (J.FAILURE, J.FAILURE, J.FAILURE, J.SUCCESS):
        assert report(breaker, judgement, 0, RATE) is None
    assert report(breaker, J.FAILURE, 0, RATE) == (CLOSED, OPEN, W.RATE)


@pytest.mark.parametrize(
    ("later", "opens"),
    [
        (0, True),
        (9 * SECOND, True),
        (10 * SECOND - 1, True),
        (10 * SECOND, False),
        (15 * SECOND, False),
        (10**6 * SECOND, False),
    ],
)
def test_the_window_forgets_by_buckets(later: int, *, opens: bool) -> None:
    """Three failures at the start of a bucket count until nine more buckets are over, and not 1 ns longer."""
    breaker = Breaker()
    start = 20 * SECOND
    for _ in range(3):
        report(breaker, J.FAILURE, start, RATE)
    assert report(breaker, J.FAILURE, start + later, RATE) == ((CLOSED, OPEN, W.RATE) if opens else None)


def test_an_old_bucket_goes_alone() -> None:
    """Two failures at 0 s and two at 9 s: at 10 s the first two are gone, the others are not."""
    breaker = Breaker()
    rule = BreakerRule(consecutive=None, rate_over=0.5, window=10 * SECOND, min_requests=5)
    for at in (0, 0, 9, 9, 10, 10):
        assert report(breaker, J.FAILURE, at * SECOND, rule) is None
    assert report(breaker, J.FAILURE, 10 * SECOND, rule) == (CLOSED, OPEN, W.RATE)


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    """What happens before the newest bucket counts into it."""
    breaker = Breaker()
    for at in (30, 2, 1):
        assert report(breaker, J.FAILURE, at * SECOND, RATE) is None
    assert report(breaker, J.FAILURE, 0, RATE) == (CLOSED, OPEN, W.RATE)


def test_a_reload_with_another_window_counts_anew() -> None:
    """Buckets of another width cannot be added up; failures in a row are kept."""
    breaker = Breaker()
    wider = BreakerRule(consecutive=7, rate_over=0.5, window=20 * SECOND, min_requests=4)
    for _ in range(3):
        report(breaker, J.FAILURE, 0, RATE)
    for _ in range(3):
        assert report(breaker, J.FAILURE, 0, wider) is None
    assert report(breaker, J.FAILURE, 0, wider) == (CLOSED, OPEN, W.CONSECUTIVE)


def test_closing_forgets_the_window_and_the_row() -> None:
    """After RECOVERED nothing that was counted before it counts again."""
    rule = BreakerRule(consecutive=4, rate_over=0.5, window=100 * SECOND, min_requests=6)
    breaker = Breaker()
    for _ in range(4):
        report(breaker, J.FAILURE, 0, rule)
    probe = breaker.acquire(SECOND, 2 * SECOND)
    assert probe is not None
    assert breaker.settle(probe, J.SUCCESS, rule, SECOND, 0.0) == (HALF_OPEN, CLOSED, W.RECOVERED)
    for _ in range(3):
        assert report(breaker, J.FAILURE, SECOND, rule) is None
    assert report(breaker, J.FAILURE, SECOND, rule) == (CLOSED, OPEN, W.CONSECUTIVE)


def fail_probes(breaker: Breaker, rule: BreakerRule, count: int, u: float) -> list[int]:
    """For how long it opens after each of `count` probes that fail as soon as they are due."""
    holds = []
    for _ in range(count):
        now = breaker.retry_at
        probe = breaker.acquire(now, now + SECOND)
        assert probe is not None
        breaker.settle(probe, J.FAILURE, rule, now, u)
        holds.append(breaker.retry_at - now)
    return holds


@pytest.mark.parametrize(
    ("u", "first", "then"),
    [(0.0, 1000, [2000, 4000, 8000, 10_000, 10_000]), (0.5, 1250, [2500, 5000, 10_000, 10_000, 10_000])],
)
def test_the_open_time_doubles_up_to_its_maximum(u: float, first: int, then: list[int]) -> None:
    """Each failed probe doubles it; jitter makes it up to half longer, never more than `open_max`."""
    rule = BreakerRule(consecutive=1, open_initial=SECOND, open_max=10 * SECOND)
    breaker = Breaker()
    report(breaker, J.FAILURE, 0, rule, u)
    assert breaker.retry_at == first * MS
    assert fail_probes(breaker, rule, 5, u) == [hold * MS for hold in then]


def test_the_doubling_ends_when_it_closes() -> None:
    """The next outage begins with `open_initial` again."""
    breaker = opened()
    fail_probes(breaker, ONE, 3, 0.0)
    now = breaker.retry_at
    probe = breaker.acquire(now, now + SECOND)
    assert probe is not None
    breaker.settle(probe, J.SUCCESS, ONE, now, 0.0)
    report(breaker, J.FAILURE, now, ONE)
    assert breaker.retry_at == now + SECOND


def test_a_trial_that_fails_before_its_time_leaves_the_time_as_it_is() -> None:
    """A worker without a closed endpoint is tried often: that must not keep its endpoints out for longer."""
    breaker = opened()
    for now in (100 * MS, 200 * MS, 300 * MS):
        permit = breaker.acquire(now, now + SECOND, trial=True)
        assert permit is not None
        assert breaker.last == (OPEN, HALF_OPEN, W.TRIAL)
        assert breaker.settle(permit, J.FAILURE, RULE, now, 0.9) == (HALF_OPEN, OPEN, W.PROBE_FAILED)
        assert breaker.retry_at == DUE
    assert fail_probes(breaker, RULE, 1, 0.0) == [2 * SECOND]


def test_a_trial_that_ends_after_its_time_doubles() -> None:
    """Begun before the time and failed after it, it has waited in vain as long as any other probe."""
    breaker = opened()
    permit = breaker.acquire(DUE - 1, DUE + SECOND, trial=True)
    assert permit is not None
    breaker.settle(permit, J.FAILURE, RULE, DUE, 0.0)
    assert breaker.retry_at == DUE + 2 * SECOND


def test_a_trial_that_says_nothing_does_not_bring_the_time_forward() -> None:
    """Cancelled before the time, it leaves a half-open breaker that waits for its time, unless it is tried again."""
    breaker = opened()
    permit = breaker.acquire(100 * MS, SECOND, trial=True)
    assert permit is not None
    breaker.settle(permit, J.NEUTRAL, RULE, 200 * MS, 0.0)
    assert not breaker.admits(DUE - 1)
    assert breaker.acquire(DUE - 1, LAPSED) is None
    assert breaker.acquire(DUE, LAPSED) is not None


def test_a_reload_changes_the_open_time_at_the_next_failure() -> None:
    """A longer `open_initial` and a shorter `open_max` hold from the next opening on."""
    longer = BreakerRule(consecutive=1, open_initial=5 * SECOND, open_max=60 * SECOND)
    shorter = BreakerRule(consecutive=1, open_initial=SECOND, open_max=3 * SECOND)
    breaker = opened()
    assert fail_probes(breaker, longer, 2, 0.0) == [5 * SECOND, 10 * SECOND]
    assert fail_probes(breaker, shorter, 1, 0.9) == [3 * SECOND]
