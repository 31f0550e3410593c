"""The latencies of a worker's attempts: known distributions, the window, the cache, and samples that were cut off."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from dispatcher.model.policy import FaultRule
from dispatcher.policies.faults import draw
from dispatcher.policies.latency import BOUNDS, FEW, FRESH, SLICE, Latencies
from fanmesh.model.times import MS, SECOND, US

LEVELS = (0.5, 0.9, 0.95, 0.99)


def filled(values: list[int], now: int = 0) -> Latencies:
    """All of them answered at `now`."""
    latencies = Latencies()
    for value in values:
        latencies.observe(value, now)
    return latencies


def exact(values: list[int], q: float) -> int:
    """The quantile of a list."""
    return sorted(values)[max(round(q * len(values)) - 1, 0)]


def straggling(step: int, seed: int = 0) -> int:
    """1 to 10 ms, evenly, and one in ten ten times as long; the same sequence in every run."""
    u, v = draw(FaultRule(seed=seed), step)
    base = round((1 + 9 * u) * MS)
    return base * 10 if v < 0.1 else base


@pytest.mark.parametrize("q", LEVELS)
@pytest.mark.parametrize(
    "values",
    [
        [n * MS for n in range(1, 101)],
        [200 * US + n * 17 * US for n in range(2000)],
        [int(US * 150 * 1.01**n) for n in range(1000)],
        [straggling(step) for step in range(4000)],
        [3 * SECOND] * 500,
    ],
    ids=["uniform", "narrow", "log-uniform", "stragglers", "constant"],
)
def test_a_quantile_is_right_within_the_width_of_a_bucket(values: list[int], q: float) -> None:
    """Never below the true quantile, and at most 5 % above it."""
    estimate = filled(values).quantile(q, 0)
    assert estimate is not None
    assert exact(values, q) <= estimate <= exact(values, q) * 1.05 + 1


def test_the_buckets_are_within_five_percent_from_100_us_to_60_s() -> None:
    """Their bounds rise, by 5 % at most, and cover what was promised."""
    assert BOUNDS[0] == 100 * US
    assert BOUNDS[-1] == 60 * SECOND
    assert all(low < high <= low * 1.05 + 1 for low, high in pairwise(BOUNDS))


@pytest.mark.parametrize("value", [0, 1, 99 * US, 100 * US, 60 * SECOND, 61 * SECOND, 3600 * SECOND])
def test_what_is_outside_the_buckets_is_kept_by_its_own_size(value: int) -> None:
    """A single sample is its own quantile, also below the first bound and above the last one."""
    latencies = filled([value])
    assert [latencies.quantile(q, 0) for q in (0.0, 0.5, 1.0)] == [value] * 3
    assert latencies.usual(0) == value


def test_without_a_sample_nothing_is_known() -> None:
    """None, and not zero: a worker that is not known is not fast."""
    latencies = Latencies()
    assert latencies.samples(0) == 0
    assert latencies.quantile(0.95, 0) is None
    assert latencies.usual(0) is None


def test_a_round_number_of_samples_is_not_off_by_one() -> None:
    """95 of 100 do not exceed the 0.95 quantile: rounding of the product must not ask for the 96th."""
    latencies = filled([MS] * 95 + [SECOND] * 5)
    assert latencies.quantile(0.95, 0) == pytest.approx(MS, rel=0.05)
    assert latencies.quantile(0.951, 0) == SECOND
    assert filled([MS] * 90 + [SECOND] * 10).quantile(0.9, 0) == pytest.approx(MS, rel=0.05), "1 - 0.9 < 0.1"
    usual = filled([MS] * 90 + [SECOND] * 10)
    assert usual.usual(0) == pytest.approx(MS, rel=0.05)
    assert filled([MS] * 89 + [SECOND] * 11).usual(0) == SECOND


def test_the_window_forgets_a_slice_after_twenty_to_thirty_seconds() -> None:
    """A sample lives until two whole slices after its own have passed, whenever it is asked for."""
    latencies = filled([SECOND], now=SLICE - 1)
    latencies.observe(MS, SLICE)
    assert latencies.samples(3 * SLICE - 1) == 2
    assert latencies.quantile(1.0, 3 * SLICE - 1) == SECOND
    assert latencies.usual(3 * SLICE - 1) == SECOND
    assert latencies.quantile(1.0, 3 * SLICE) == MS
    assert latencies.usual(3 * SLICE) == MS
    assert latencies.samples(3 * SLICE) == 1
    assert latencies.usual(4 * SLICE) is None
    assert latencies.quantile(1.0, 4 * SLICE) is None
    assert latencies.samples(4 * SLICE) == 0


def test_the_window_forgets_sizes_and_numbers() -> None:
    """Of what was answered and of what was cut off: afterwards it is as if neither had been."""
    latencies = Latencies()
    latencies.censored(SECOND, 0)
    latencies.observe(MS, 0)
    for value in (2 * MS, 4 * MS):
        latencies.censored(value, SLICE)
    latencies.observe(3 * MS, SLICE)
    assert latencies.quantile(1.0, SLICE) == SECOND
    assert latencies.quantile(0.0, SLICE) == pytest.approx(MS, rel=0.05)
    assert latencies.quantile(1.0, 3 * SLICE) == 4 * MS
    assert latencies.samples(3 * SLICE) == 3
    assert latencies.quantile(0.5, 3 * SLICE) == 3 * MS
    assert latencies.quantile(0.0, 3 * SLICE) == 3 * MS
    assert latencies.quantile(0.6, 3 * SLICE) == 4 * MS


@pytest.mark.parametrize("later", [4, 5, 6, 30_000, 30_001, 30_002])
def test_a_long_silence_empties_the_window(later: int) -> None:
    """Nothing of a slice comes back when its place in the ring is used again, however much later."""
    latencies = filled([SECOND] * 3, now=0)
    latencies.censored(2 * SECOND, 0)
    latencies.observe(SECOND, SLICE)
    latencies.observe(MS, later * SLICE)
    assert latencies.samples(later * SLICE) == 1
    assert latencies.quantile(1.0, later * SLICE) == MS


def test_a_sample_from_before_the_slice_began_counts_now() -> None:
    """`now` of two callers may be out of order by a little: nothing is lost, and no slice is opened again."""
    latencies = filled([MS], now=5 * SLICE)
    latencies.observe(2 * MS, 5 * SLICE - 1)
    assert latencies.samples(5 * SLICE) == 2
    assert latencies.samples(8 * SLICE - 1) == 2


def test_few_samples_are_looked_at_again_at_once() -> None:
    """Up to 200, each sample, completed or censored, changes the answer without a wait."""
    latencies = filled([MS] * (FEW - 2))
    assert latencies.quantile(1.0, 0) == MS
    assert latencies.usual(0) == MS
    latencies.observe(SECOND, 0)
    assert latencies.quantile(1.0, 0) == SECOND
    latencies.censored(2 * SECOND, 0)
    assert latencies.quantile(1.0, 0) == 2 * SECOND


def test_many_samples_are_looked_at_again_after_250_ms() -> None:
    """Above 200 the answer is kept for 250 ms, and not 1 ns longer."""
    latencies = filled([MS] * FEW)
    assert latencies.quantile(1.0, 0) == MS
    assert latencies.usual(0) == MS
    for _ in range(50):
        latencies.observe(SECOND, 0)
    assert (latencies.quantile(1.0, FRESH - 1), latencies.usual(FRESH - 1)) == (MS, MS)
    assert (latencies.quantile(1.0, FRESH), latencies.usual(FRESH)) == (SECOND, SECOND)


def test_what_was_kept_is_for_the_same_quantile_only() -> None:
    """Another `q` is another question."""
    latencies = filled([MS] * FEW + [SECOND] * FEW)
    assert latencies.quantile(1.0, 0) == SECOND
    assert latencies.quantile(0.25, 0) == pytest.approx(MS, rel=0.05)


def test_an_attempt_that_was_cut_off_counts_as_longer() -> None:
    """Kaplan–Meier by hand: 8 answered at 10 ms, 2 cut at 20 ms, 5 answered at 30 ms, 5 cut at 40 ms.

    After 10 ms 12/20 still run; of the 10 that are left at 30 ms half end: 12/20 · 5/10 = 0.3.
    """
    latencies = filled([10 * MS] * 8 + [30 * MS] * 5)
    for elapsed in (20 * MS, 20 * MS, *[40 * MS] * 5):
        latencies.censored(elapsed, 0)
    assert latencies.samples(0) == 20
    assert latencies.quantile(0.4, 0) == pytest.approx(10 * MS, rel=0.05)
    assert latencies.quantile(0.41, 0) == 30 * MS
    assert latencies.quantile(0.7, 0) == 30 * MS
    assert latencies.quantile(0.71, 0) == 40 * MS, "open: the largest value seen"


def test_if_all_were_cut_off_the_largest_is_a_lower_bound() -> None:
    """Any quantile is at least the longest that was waited; what is usual is not known."""
    latencies = Latencies()
    latencies.censored(70 * MS, 0)
    latencies.censored(50 * MS, 0)
    assert [latencies.quantile(q, 0) for q in (0.0, 0.5, 1.0)] == [70 * MS] * 3
    assert latencies.usual(0) is None


def test_what_is_usual_is_of_answers_only() -> None:
    """Attempts that time out do not raise what an attempt is owed: else no worker could ever be too slow."""
    latencies = filled([10 * MS] * 10)
    for _ in range(90):
        latencies.censored(SECOND, 0)
    assert latencies.usual(0) == 10 * MS
    assert latencies.quantile(0.9, 0) == SECOND


def hedged(record: Callable[[Latencies, int, int, int, int], None]) -> Latencies:
    """20,000 requests, one a ms, each hedged at the p95 of what `record` (of first, second, delay) has told so far."""
    latencies = Latencies()
    for step in range(20_000):
        now = step * MS
        delay = latencies.quantile(0.95, now) if step >= 50 else None
        first = straggling(step)
        if delay is None or first <= delay:
            latencies.observe(first, now)
        else:
            record(latencies, first, straggling(step, seed=1), delay, now)
    return latencies


def by_attempt(latencies: Latencies, first: int, second: int, delay: int, now: int) -> None:
    """As it is meant: each attempt its own latency, the loser as censored."""
    total = min(first, delay + second)
    if first <= delay + second:
        latencies.observe(first, now)
        latencies.censored(total - delay, now)
    else:
        latencies.observe(second, now)
        latencies.censored(total, now)


def winners(latencies: Latencies, first: int, second: int, delay: int, now: int) -> None:
    """The mistake: the loser is left out."""
    latencies.observe(first if first <= delay + second else second, now)


def totals(latencies: Latencies, first: int, second: int, delay: int, now: int) -> None:
    """The other mistake: the request's latency."""
    latencies.observe(min(first, delay + second), now)


NOW = 20_000 * MS
TRUTH = [straggling(step) for step in range(20_000)]


def test_hedging_does_not_poison_the_quantile_that_it_hedges_at() -> None:
    """One in twenty cancelled as a loser at the p95: the estimate stays at the p95 of a worker that is never hedged."""
    estimate = hedged(by_attempt).quantile(0.95, NOW)
    assert estimate == pytest.approx(exact(TRUTH, 0.95), rel=0.06)


def test_without_the_losers_the_quantile_would_sink() -> None:
    """What the censored samples are for: told of winners only, each round takes away the slowest, and hedges more."""
    estimate = hedged(winners).quantile(0.95, NOW)
    assert estimate is not None
    assert estimate < 0.25 * exact(TRUTH, 0.95)


def test_with_the_totals_the_tail_would_vanish() -> None:
    """Totals end soon after the delay, so they hide how slow the worker is; the attempts' own latencies do not."""
    told = hedged(totals).quantile(0.98, NOW)
    estimate = hedged(by_attempt).quantile(0.98, NOW)
    assert told is not None
    assert estimate is not None
    assert told < 0.75 * exact(TRUTH, 0.98)
    assert estimate == pytest.approx(exact(TRUTH, 0.98), rel=0.06)


@pytest.mark.parametrize(("count", "low"), [(100, 91), (400, 93), (10_000, 95)])
def test_the_early_end_comes_closer_with_more_samples(count: int, low: int) -> None:
    """The rank is lowered by 1.645 standard errors, which shrink with the root of the number of samples; never above it."""
    book = Latencies()
    for i in range(count):
        book.observe((1 + i % 100) * MS, 0)
    early, plain = book.early(0.95, 0), book.quantile(0.95, 0)
    assert early is not None
    assert plain is not None
    assert low * MS <= early <= min(plain, (low + 1) * MS * 106 // 100)


def test_the_early_end_of_nothing() -> None:
    """Without a sample there is none; with one it is that sample, as for any quantile."""
    book = Latencies()
    assert book.early(0.95, 0) is None
    book.observe(7 * MS, 0)
    assert book.early(0.95, 0) == 7 * MS


def test_the_early_end_is_kept_for_250_ms() -> None:
    """Among many samples it is computed anew only when it has grown old, and at once for another quantile."""
    book = Latencies()
    for _ in range(1000):
        book.observe(10 * MS, 0)
    assert book.early(0.95, 0) == 10 * MS
    for _ in range(1000):
        book.observe(90 * MS, MS)
    assert book.early(0.95, MS) == 10 * MS
    assert book.early(0.9, MS) == 90 * MS
    assert book.early(0.95, 300 * MS) == 90 * MS
