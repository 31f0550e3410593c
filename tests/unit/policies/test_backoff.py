"""The waits before another attempt: bounds, growth, extremes; chance only shortens ours, and only lengthens a worker's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.policy import Backoff
from dispatcher.policies.backoff import backoff, pushback
from fanmesh.model.times import MS, SECOND

ALMOST = 1 - 2**-53
units = st.floats(0, 1, exclude_max=True)
rules = st.builds(Backoff, st.integers(0, 10 * SECOND), st.integers(0, 600 * SECOND), st.floats(1, 1e6))


@pytest.mark.parametrize(("failures", "bound"), [(1, 50), (2, 100), (3, 200), (4, 400), (5, 800), (6, 1000), (7, 1000)])
def test_the_bound_doubles_up_to_the_maximum(failures: int, bound: int) -> None:
    """The bound is initial · multiplier^(n − 1), and the wait is anywhere from nothing up to it."""
    rule = Backoff(50 * MS, SECOND, 2.0)
    assert backoff(rule, failures, 0.0) == 0
    assert backoff(rule, failures, 0.5) == bound * MS // 2
    assert backoff(rule, failures, ALMOST) == bound * MS - 1


@pytest.mark.parametrize("failures", [1000, 1025, 10**6])
@pytest.mark.parametrize(
    ("rule", "half"),
    [
        (Backoff(50 * MS, SECOND, 2.0), SECOND // 2),
        (Backoff(50 * MS, SECOND, 10), SECOND // 2),
        (Backoff(50 * MS, SECOND, 1.0), 25 * MS),
        (Backoff(0, SECOND, 2.0), 0),
        (Backoff(2 * SECOND, SECOND, 2.0), SECOND // 2),
    ],
)
def test_any_number_of_failures_is_in_order(rule: Backoff, half: int, failures: int) -> None:
    """Nothing overflows, and nothing that starts from zero grows."""
    assert backoff(rule, failures, 0.5) == half


@pytest.mark.parametrize(
    ("ms", "u", "wait"),
    [
        (0, 0.9, 0),
        (1, 0.0, MS),
        (400, 0.0, 400 * MS),
        (400, 0.5, 500 * MS),
        (300_000, 0.0, 300 * SECOND),
        (300_001, 0.0, 300 * SECOND),
        (10**30, 0.5, 375 * SECOND),
        (10**30, ALMOST, 450 * SECOND - 1),
    ],
)
def test_a_pushback_is_waited_for_and_up_to_half_as_long_again(ms: int, u: float, wait: int) -> None:
    """Never less than was asked for up to 300 s, and always below 450 s."""
    assert pushback(ms, u) == wait


@given(rules, st.integers(1, 10**6), units, units)
def test_a_backoff_is_in_range_and_grows_with_u(rule: Backoff, failures: int, u: float, v: float) -> None:
    """0 ≤ wait ≤ min(what the row of failures allows, maximum), the sooner the smaller u."""
    low, high = sorted((backoff(rule, failures, u), backoff(rule, failures, v)))
    assert 0 <= low <= high <= rule.maximum
    assert backoff(rule, failures, min(u, v)) == low
    assert backoff(rule, 1, u) <= rule.initial
    assert backoff(rule, failures, u) <= backoff(rule, failures + 1, u)


@given(st.integers(0, 10**9), units, units)
def test_a_pushback_is_in_range_and_grows_with_u(ms: int, u: float, v: float) -> None:
    """That is, asked ≤ wait ≤ 1.5 · asked, where asked is at most 300 s, the sooner the smaller u."""
    asked = min(ms * MS, 300 * SECOND)
    low, high = sorted((pushback(ms, u), pushback(ms, v)))
    assert asked <= low <= high <= asked * 3 // 2
    assert pushback(ms, min(u, v)) == low
