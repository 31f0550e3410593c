"""A peak counts at once, is forgotten by time, and a failure is no fast answer."""

from itertools import pairwise
from math import exp

import pytest

from dispatcher.policies.ewma import LEAST_PENALTY, MOST_PENALTY, RECOVERY, TAU, PeakEwma, load, two
from fanmesh.model.times import MS, SECOND


def observed(*samples: tuple[int, int]) -> PeakEwma:
    """One that has seen (latency, now)."""
    ewma = PeakEwma()
    for latency, now in samples:
        ewma.observe(latency, now)
    return ewma


def test_without_samples_the_estimate_is_zero() -> None:
    """Nothing is known: `samples` tells it from a fast endpoint, whose estimate is never 0."""
    ewma = PeakEwma()
    assert (ewma.samples, ewma.estimate(SECOND)) == (0, 0.0)
    ewma.observe(0, SECOND)
    assert ewma.samples == 1
    assert ewma.estimate(10**6 * SECOND) > 0.0


def test_a_slower_sample_replaces_the_estimate_at_once() -> None:
    """One slow answer is enough to be avoided."""
    assert observed((MS, 0), (MS, 1), (80 * MS, 2)).estimate(2) == 80.0 * MS


def test_faster_samples_pull_it_down_by_age() -> None:
    """After RECOVERY a peak of 100 ms counts for 1/e between it and the faster sample, after 1 ns not less than it did."""
    assert observed((100 * MS, 0), (MS, RECOVERY)).estimate(RECOVERY) == pytest.approx(MS + 99 * MS * exp(-1), abs=1)
    assert observed((100 * MS, 0), (MS, 1)).estimate(1) == pytest.approx(100 * MS, abs=1)


def test_it_stays_where_latency_stays() -> None:
    """Equal samples are their own mean, however far apart."""
    assert observed((5 * MS, 0), (5 * MS, SECOND), (5 * MS, 300 * SECOND)).estimate(300 * SECOND) == 5.0 * MS


def test_it_fades_while_nobody_calls() -> None:
    """An endpoint that was slow once is tried again; reading the estimate does not change it."""
    ewma = observed((100 * MS, SECOND))
    assert ewma.estimate(SECOND + TAU) == pytest.approx(100 * MS * exp(-1))
    assert ewma.estimate(SECOND) == 100.0 * MS


def test_a_clock_that_steps_back_does_not_speed_it_up() -> None:
    """Before the latest sample nothing has faded, and what comes then is as young as that sample."""
    ewma = observed((100 * MS, TAU))
    assert ewma.estimate(0) == 100.0 * MS
    ewma.observe(MS, 0)
    assert ewma.estimate(TAU) == pytest.approx(100 * MS, abs=1)
    assert ewma.estimate(2 * TAU) == pytest.approx(100 * MS * exp(-1), abs=1)


def test_failures_compound_up_to_a_maximum() -> None:
    """Failures that come at once count 10, 30, 90 … ms, and never more than 5 s."""
    ewma = PeakEwma()
    counted = []
    for _ in range(8):
        ewma.penalise(0, 0)
        counted.append(ewma.estimate(0))
    assert counted == [10.0 * MS, 30.0 * MS, 90.0 * MS, 270.0 * MS, 810.0 * MS, 2430.0 * MS, 5.0 * SECOND, 5.0 * SECOND]
    assert ewma.samples == 8


@pytest.mark.parametrize(
    ("before", "elapsed", "after"),
    [(MS, 0, LEAST_PENALTY), (20 * MS, MS, 60 * MS), (20 * MS, 70 * MS, 70 * MS), (4 * SECOND, 0, MOST_PENALTY)],
)
def test_a_failure_counts_as_slow(before: int, elapsed: int, after: int) -> None:
    """The longest of what it took, three times the estimate, and 10 ms."""
    ewma = observed((before, 0))
    ewma.penalise(elapsed, 0)
    assert ewma.estimate(0) == after


@pytest.mark.parametrize("known", [0, 8 * SECOND])
def test_only_the_penalty_is_limited(known: int) -> None:
    """A failure after 30 s counts 30 s, as an answer would; one of an endpoint known to take 8 s does not make it faster."""
    slow, same = observed((known, 0)), observed((known, 0))
    slow.penalise(30 * SECOND, 0)
    same.penalise(0, 0)
    assert slow.estimate(0) == 30.0 * SECOND
    assert same.estimate(0) == max(known, LEAST_PENALTY)


def test_one_failure_is_forgotten_within_seconds() -> None:
    """A replica of 5 ms that fails once is ahead of an equal one with one call out again before 12 s are over."""
    ewma = observed((5 * MS, 0))
    ewma.penalise(0, 0)
    assert load(ewma.estimate(0), 0) > load(5.0 * MS, 1)
    assert load(ewma.estimate(12 * SECOND), 0) < load(5.0 * MS, 0)


def test_load_grows_with_what_is_out() -> None:
    """The next call waits behind those that are out: an estimate for each of them and one for itself."""
    assert [load(2.0, outstanding) for outstanding in range(4)] == [2.0, 4.0, 6.0, 8.0]
    assert all(a < b for a, b in pairwise(load(1.5, n) for n in range(100)))


@pytest.mark.parametrize(
    ("count", "u", "v", "drawn"),
    [
        (2, 0.0, 0.0, (0, 1)),
        (2, 0.9, 0.0, (1, 0)),
        (2, 0.9, 0.9, (1, 0)),
        (3, 0.4, 0.9, (1, 2)),
        (3, 0.4, 0.4, (1, 0)),
        (3, 0.0, 0.0, (0, 1)),
    ],
)
def test_two_are_drawn(count: int, u: float, v: float, drawn: tuple[int, int]) -> None:
    """`u` draws the first of all, `v` the second of the rest."""
    assert two(count, u, v) == drawn
