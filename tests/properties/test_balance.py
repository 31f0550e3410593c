"""Slower never ranks better, whatever came before and comes after."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.policies.ewma import PeakEwma, load, two
from fanmesh.model.times import SECOND

latencies = st.integers(0, 10 * SECOND) | st.integers(0, 20)
gaps = st.integers(0, 100 * SECOND) | st.integers(0, 1000)
samples = st.lists(st.tuples(gaps, st.booleans(), latencies), max_size=20)


def fed(history: list[tuple[int, bool, int]], now: int = 0, ewma: PeakEwma | None = None) -> tuple[PeakEwma, int]:
    """One with this history of (gap, answered, latency), and the time of its last sample."""
    ewma = ewma or PeakEwma()
    for gap, answered, latency in history:
        now += gap
        (ewma.observe if answered else ewma.penalise)(latency, now)
    return ewma, now


@given(samples, samples, st.booleans(), latencies, st.integers(1, SECOND) | st.integers(1, 3), gaps)
def test_slower_never_ranks_better(
    before: list[tuple[int, bool, int]],
    after: list[tuple[int, bool, int]],
    answered: bool,  # noqa: FBT001  (drawn)
    latency: int,
    slower_by: int,
    later: int,
) -> None:
    """Two histories that differ in one sample: where it was slower the estimate is never lower, to the last digit."""
    fast, now = fed([*before, (1, answered, latency), *after])
    slow, _ = fed([*before, (1, answered, latency + slower_by), *after])
    assert slow.estimate(now + later) >= fast.estimate(now + later)


@given(samples, samples, latencies, gaps)
def test_a_failure_never_ranks_better_than_an_answer(
    before: list[tuple[int, bool, int]], after: list[tuple[int, bool, int]], elapsed: int, later: int
) -> None:
    """To fail after some time is never better than to answer after the same time."""
    answering, now = fed([*before, (1, True, elapsed), *after])
    failing, _ = fed([*before, (1, False, elapsed), *after])
    assert failing.estimate(now + later) >= answering.estimate(now + later)


@given(samples, gaps, st.integers(0, 1000))
def test_a_failure_never_improves_the_estimate(before: list[tuple[int, bool, int]], gap: int, elapsed: int) -> None:
    """A failure that came at once ranks its endpoint no better than it stood before, and worse than 10 ms."""
    ewma, now = fed(before)
    stood = ewma.estimate(now + gap)
    ewma.penalise(elapsed, now + gap)
    assert ewma.estimate(now + gap) >= max(int(stood), 10_000_000)


@given(samples.filter(bool), gaps, st.integers(0, 10_000))
def test_more_outstanding_never_ranks_better(history: list[tuple[int, bool, int]], gap: int, outstanding: int) -> None:
    """One call more is always more load, however long ago the last sample was."""
    ewma, now = fed(history)
    estimate = ewma.estimate(now + gap)
    assert load(estimate, outstanding + 1) > load(estimate, outstanding) > 0


def test_every_pair_is_drawn_equally_often() -> None:
    """Over an even grid of `u` and `v` every ordered pair of distinct positions comes equally often."""
    for count in range(2, 7):
        grid = 60  # a multiple of every count and of every count − 1
        draws = Counter(two(count, (i + 0.5) / grid, (j + 0.5) / grid) for i in range(grid) for j in range(grid))
        pairs = [(a, b) for a in range(count) for b in range(count) if a != b]
        assert draws == Counter(dict.fromkeys(pairs, grid * grid // len(pairs)))


def test_the_highest_numbers_draw_the_last() -> None:
    """The largest floats below 1 stay inside, for any number of candidates."""
    top = 1 - 2.0**-53
    for count in range(2, 2000):
        assert two(count, top, top) == (count - 1, count - 2)
