"""Whether a branch is hedged, and after how long."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import Hedge
from dispatcher.policies.attempts import Denied
from dispatcher.policies.hedging import delay_of, still
from dispatcher.policies.latency import SLICE, SLICES, Latencies
from fanmesh.model.times import MS, SECOND


def known(*latencies: int, cut: int = 0) -> Latencies:
    """Attempts that took so many ms each, all at time 0; `cut` of them more were cancelled after 900 ms."""
    book = Latencies()
    for latency in latencies:
        book.observe(latency * MS, 0)
    for _ in range(cut):
        book.censored(900 * MS, 0)
    return book


def near(found: object, wanted: int) -> bool:
    """Within the width of a bucket, and never below."""
    return isinstance(found, int) and wanted <= found <= wanted * 1.06


def test_the_quantile() -> None:
    """The hedge waits for the configured quantile of the worker's attempts: the early end of what it may be."""
    book = known(*range(1, 101))
    assert near(delay_of(Hedge(quantile=0.95), book, 0), 92 * MS)  # 0.95 − 1.645·√(0.95·0.05/100) = 0.914
    assert near(delay_of(Hedge(quantile=0.5), book, 0), 42 * MS)


def test_a_cliff_is_approached_from_below() -> None:
    """5 % of the calls are ten times as slow, and by chance one more than that: the hedge still waits for the others only."""
    book = known(*[20] * 940, *[200] * 60)
    assert near(book.quantile(0.95, 0), 200 * MS)
    assert near(delay_of(Hedge(quantile=0.95), book, 0), 20 * MS)


@pytest.mark.parametrize(("minimum", "expected"), [(0, 2), (5, 5), (300, 300)])
def test_never_before_the_minimum(minimum: int, expected: int) -> None:
    """A quantile below `min` is raised to it: a worker of 2 ms is not hedged for a hiccup of the loop."""
    assert near(delay_of(Hedge(minimum=minimum * MS), known(*[2] * 60), 0), expected * MS)


@pytest.mark.parametrize(("samples", "found"), [(0, Denied.COLD), (49, Denied.COLD), (50, None)])
def test_cold(samples: int, found: Denied | None) -> None:
    """Nothing is hedged before `min_samples` latencies are known."""
    delay = delay_of(Hedge(), known(*[20] * samples), 0)
    assert delay is found if found is not None else near(delay, 20 * MS)


def test_cold_without_any_sample() -> None:
    """`min_samples: 0` cannot make a quantile out of nothing."""
    assert delay_of(Hedge(min_samples=0), Latencies(), 0) is Denied.COLD


def test_cold_again() -> None:
    """What is known is forgotten after the window: a worker that was quiet for a minute is cold."""
    book = known(*[20] * 60)
    assert near(delay_of(Hedge(), book, SLICE), 20 * MS)
    assert delay_of(Hedge(), book, SLICES * SLICE) is Denied.COLD


@pytest.mark.parametrize("slow", [2000, 2001, 9000])
def test_everything_is_slow(slow: int) -> None:
    """A quantile at or above `max` is overload and no straggler: a copy of everything makes it worse."""
    assert delay_of(Hedge(maximum=2 * SECOND), known(*[slow] * 60), 0) is Denied.ALL_SLOW


def test_what_was_cut_off_counts_as_slow() -> None:
    """Losers are censored samples: with a tenth of the attempts cancelled at 900 ms, the 95th percentile is not below that."""
    assert near(delay_of(Hedge(), known(*[20] * 90, cut=10), 0), 900 * MS)


@pytest.mark.parametrize("delay", [0, 1, 30 * MS, 9 * SECOND])
def test_a_fixed_delay(delay: int) -> None:
    """Whoever fixes the delay needs no samples, and knows what is slow."""
    assert delay_of(Hedge(delay=delay), Latencies(), 0) == delay


@pytest.mark.parametrize(("remaining", "found"), [(0, Denied.NO_TIME), (19, Denied.NO_TIME), (22, None), (1000, None)])
def test_no_time_for_what_is_expected(remaining: int, found: Denied | None) -> None:
    """With less time left than half of the attempts take, a hedge would be cut off."""
    assert still(known(*[20] * 60), remaining * MS, 0) is found


def test_without_a_latency_there_is_time() -> None:
    """Nothing is expected of a worker that nobody knows."""
    assert still(Latencies(), 1, 0) is None
