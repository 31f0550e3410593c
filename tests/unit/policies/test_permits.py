"""How many at once and how many a second, and what a reload does to both."""

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.policy import RateRule
from dispatcher.policies.permits import InFlight, RateBucket
from fanmesh.model.times import MS, SECOND

TEN = RateRule(10.0, 3)
"""A token each 100 ms, three at once."""


def test_in_flight_up_to_the_limit() -> None:
    """At the limit nothing is free and nothing is taken; one that comes back makes room for one."""
    calls = InFlight()
    assert [calls.take(2) for _ in range(3)] == [True, True, False]
    assert (calls.count, calls.free(2), calls.free(3)) == (2, False, True)
    calls.release()
    assert (calls.count, calls.free(2)) == (1, True)


def test_no_limit() -> None:
    """None admits everybody, and still counts."""
    calls = InFlight()
    assert all(calls.take(None) for _ in range(1000))
    assert calls.free(None)
    assert calls.count == 1000


def test_a_limit_that_is_lowered_waits_until_enough_have_come_back() -> None:
    """Four out and a new limit of two: the third that comes back makes room."""
    calls = InFlight()
    for _ in range(4):
        calls.take(4)
    free = []
    for _ in range(3):
        calls.release()
        free.append(calls.free(2))
    assert free == [False, False, True]


def test_what_was_not_taken_cannot_be_given_back() -> None:
    """A release too many is a bug that is seen; the count never falls below zero."""
    calls = InFlight()
    with pytest.raises(ValueError, match="release without take"):
        calls.release()
    assert calls.count == 0


def test_a_bucket_begins_full_and_refills_one_by_one() -> None:
    """Three at once, then one at each 100 ms, not 1 ns earlier; asking takes nothing."""
    bucket = RateBucket()
    assert [bucket.take(TEN, 0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.free(TEN, 100 * MS - 1)
    assert [bucket.free(TEN, 100 * MS) for _ in range(5)] == [True] * 5
    assert [bucket.take(TEN, 100 * MS) for _ in range(2)] == [True, False]


def test_an_interval_is_rounded_up() -> None:
    """A third of a second is no whole number of ns: the token comes late rather than early, also after a reload."""
    three, seven = RateRule(3.0, 1), RateRule(7.0, 1)
    bucket = RateBucket()
    bucket.take(three, 0)
    assert not bucket.free(three, 333_333_333)
    assert bucket.free(three, 333_333_334)
    assert not bucket.free(seven, 1)  # 333,333,333 ns of 333,333,334 are missing: 142,857,142.57 of 142,857,143
    assert not bucket.free(seven, 142_857_143)
    assert bucket.free(seven, 142_857_144)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    """However long nobody comes: three."""
    bucket = RateBucket()
    bucket.take(TEN, 0)
    assert [bucket.take(TEN, 10**6 * SECOND) for _ in range(4)] == [True, True, True, False]


def test_no_rate() -> None:
    """None admits everybody and takes no tokens."""
    bucket = RateBucket()
    assert all(bucket.free(None, 0) and bucket.take(None, 0) for _ in range(100))
    assert [bucket.take(TEN, 0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_no_tokens() -> None:
    """An empty bucket is not filled by time that is lived twice."""
    bucket = RateBucket()
    for _ in range(3):
        bucket.take(TEN, SECOND)
    assert not bucket.take(TEN, 0)
    assert not bucket.take(TEN, SECOND)
    assert bucket.take(TEN, SECOND + 100 * MS)


def test_a_reload_keeps_missing_tokens_and_not_the_time_they_would_have_taken() -> None:
    """One an hour, one missing; with 100 a second it is back after 10 ms. The other way round it takes the hour."""
    hourly, quick = RateRule(1 / 3600, 1), RateRule(100.0, 1)
    bucket = RateBucket()
    bucket.take(hourly, 0)
    assert not bucket.free(quick, 0)
    assert not bucket.free(quick, 10 * MS - 1)
    assert bucket.take(quick, 10 * MS)
    assert not bucket.free(hourly, 10 * MS)
    assert not bucket.free(hourly, 10 * MS + 3599 * SECOND)
    assert bucket.free(hourly, 10 * MS + 3600 * SECOND)


def test_an_equal_rule_of_another_configuration_changes_nothing() -> None:
    """Requests from before and after a reload take turns; the bucket counts them as one."""
    bucket = RateBucket()
    taken = [bucket.take(RateRule(3.0, 5), at * MS) for at in range(900)]
    same = RateBucket()
    assert taken == [same.take(rule, at * MS) for rule in [RateRule(3.0, 5)] for at in range(900)]
    assert sum(taken) == 5 + 2


gaps = st.lists(st.integers(0, 400 * MS), min_size=1, max_size=80)
rates = st.sampled_from([0.5, 1.0, 3.0, 7.0, 10.0, 33.3, 1000.0])


@given(gaps, rates, st.integers(1, 5))
def test_within_any_window_at_most_the_rate_and_the_burst(gaps: list[int], per_second: float, burst: int) -> None:
    """From any take to any other, w seconds later, at most per_second · w + burst are taken; free says what take does."""
    bucket, rule = RateBucket(), RateRule(per_second, burst)
    taken = []
    for now in accumulate(gaps):
        free = bucket.free(rule, now)
        assert bucket.take(rule, now) is free
        if free:
            taken.append(now)
    assert len(taken) >= min(burst, len(gaps))
    for i, first in enumerate(taken):
        for count, last in enumerate(taken[i:], 1):
            assert count <= Fraction(per_second) * (last - first) / SECOND + burst


@given(gaps, rates, st.integers(1, 5))
def test_a_refusal_is_needed(gaps: list[int], per_second: float, burst: int) -> None:
    """It refuses only if one more would be too many: a bucket that is filled up step by step agrees, rounding aside."""
    bucket, rule = RateBucket(), RateRule(per_second, burst)
    interval = -(-SECOND // Fraction(per_second))
    tokens, before = Fraction(burst), 0
    for now in accumulate(gaps):
        tokens = min(Fraction(burst), tokens + Fraction(now - before) / interval)
        before = now
        assert bucket.take(rule, now) is (tokens >= 1)
        tokens -= tokens >= 1
