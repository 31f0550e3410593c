"""What must hold for any latencies of a worker, answered or cut off, at any time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.policies.latency import Latencies
from fanmesh.model.times import MS, SECOND, US

sizes = st.one_of(st.integers(0, 200 * SECOND), st.integers(50 * US, 500 * US), st.integers(9 * MS, 12 * MS))
samples = st.lists(st.tuples(sizes, st.booleans()), min_size=1, max_size=60)
pauses = st.sampled_from([0, SECOND, 9 * SECOND, 10 * SECOND, 12 * SECOND, 25 * SECOND, 100 * SECOND])
shares = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))


def told(values: list[tuple[int, bool]]) -> Latencies:
    """All of them at 0."""
    latencies = Latencies()
    for value, answered in values:
        (latencies.observe if answered else latencies.censored)(value, 0)
    return latencies


def known(value: int | None) -> int:
    """There are samples, so there is a value."""
    assert value is not None
    return value


@given(samples, shares, shares)
def test_a_higher_quantile_is_no_lower(values: list[tuple[int, bool]], p: float, q: float) -> None:
    """Monotone in q."""
    latencies = told(values)
    assert known(latencies.quantile(min(p, q), 0)) <= known(latencies.quantile(max(p, q), 0))


@given(samples, shares)
def test_a_quantile_is_within_what_was_seen(values: list[tuple[int, bool]], q: float) -> None:
    """From the smallest sample to the largest; what is usual, from the smallest answer to the largest."""
    latencies = told(values)
    seen = [value for value, _ in values]
    assert min(seen) <= known(latencies.quantile(q, 0)) <= max(seen)
    answers = [value for value, answered in values if answered]
    usual = latencies.usual(0)
    assert (usual is None) is (not answers)
    assert usual is None or min(answers) <= usual <= max(answers)


@given(samples, shares, st.tuples(sizes, st.booleans()))
def test_a_slower_sample_never_lowers_it(values: list[tuple[int, bool]], q: float, slower: tuple[int, bool]) -> None:
    """Answered or cut off no earlier than the quantile was, one more can only raise it."""
    by, answered = slower
    latencies = told(values)
    before = known(latencies.quantile(q, 0))
    (latencies.observe if answered else latencies.censored)(before + by, 0)
    assert known(latencies.quantile(q, 0)) >= before


@given(samples, shares, sizes)
def test_a_cut_off_sample_never_lowers_it(values: list[tuple[int, bool]], q: float, elapsed: int) -> None:
    """However early it was cut off: it says "longer than this", and of a quantile that lies later it says nothing."""
    latencies = told(values)
    before = known(latencies.quantile(q, 0))
    latencies.censored(elapsed, 0)
    assert known(latencies.quantile(q, 0)) >= before


@given(st.lists(sizes, min_size=1, max_size=60), st.sampled_from([0.25, 0.5, 0.75, 0.9, 1.0]))
def test_with_answers_only_it_is_the_ordinary_quantile(values: list[int], q: float) -> None:
    """Kaplan–Meier without censoring: the value of that rank, at most 5 % (or the first bucket) too high."""
    true = sorted(values)[max(-(-len(values) * int(q * 100) // 100), 1) - 1]
    estimate = known(told([(value, True) for value in values]).quantile(q, 0))
    assert true <= estimate <= (100 * US if true <= 100 * US else true * 1.05 + 1 if true <= 60 * SECOND else max(values))


@given(st.lists(st.tuples(pauses, sizes, st.booleans()), max_size=60), shares)
def test_only_what_is_in_the_window_counts(steps: list[tuple[int, int, bool]], q: float) -> None:
    """Asked after every step, the answers are those of a new window that was told only what is young enough."""
    latencies, now, history = Latencies(), 0, list[tuple[int, int, bool]]()
    for pause, value, answered in steps:
        now += pause
        history.append((now // (10 * SECOND), value, answered))
        (latencies.observe if answered else latencies.censored)(value, now)
        young = [(value, answered) for epoch, value, answered in history if epoch > now // (10 * SECOND) - 3]
        fresh = told(young)
        assert latencies.samples(now) == len(young)
        assert latencies.quantile(q, now) == fresh.quantile(q, 0)
        assert latencies.usual(now) == fresh.usual(0)
