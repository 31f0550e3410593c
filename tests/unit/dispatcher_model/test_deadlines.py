"""How time is divided, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.deadlines import DEFAULT_TOTAL, Deadlines, branch_deadline, divide, soft_within
from fanmesh.model.times import MS, SECOND

some_time = st.none() | st.integers(-SECOND, 100 * SECOND)


@pytest.mark.parametrize(
    ("caller", "plan", "budget", "total"),
    [
        (None, None, None, 10 * SECOND),
        (3, None, None, 3),
        (None, 4, None, 4),
        (5, 4, None, 4),
        (5, 40, 2, 2),
        (5, 4, 20, 4),
        (-7, 4, None, 0),
        (0, None, None, 0),
    ],
)
def test_total(caller: int | None, plan: int | None, budget: int | None, total: int) -> None:
    """T = the smallest of caller's deadline, plan's latency and caller's budget; 10 s if there is none; never below 0."""
    assert divide(caller, plan, 0, budget) == Deadlines(total, total)


@given(some_time, some_time, st.integers(0, 10 * SECOND), some_time)
def test_stop_lies_within(caller: int | None, plan: int | None, reserve: int, budget: int | None) -> None:
    """0 ≤ stop ≤ T, the reserve is never more than a quarter of T, and no one who gave a time is given more."""
    deadlines = divide(caller, plan, reserve, budget)
    assert 0 <= deadlines.stop <= deadlines.total
    assert deadlines.total - deadlines.stop == min(reserve, deadlines.total // 4)
    times = [time for time in (caller, plan, budget) if time is not None]
    assert all(deadlines.total <= max(0, time) for time in times)
    assert times or deadlines.total == DEFAULT_TOTAL


@pytest.mark.parametrize(("soft", "effective"), [(None, None), (100, 100), (699, 699), (700, 700), (701, 700), (5000, 700)])
def test_effective_softs(soft: int | None, effective: int | None) -> None:
    """An effective soft timeout is min(soft, 0.7 · stop)."""
    assert soft_within(soft, Deadlines(1025, 1000)) == effective


def test_softs_stay_integers() -> None:
    """Times are integers: 0.7 of an odd stop is rounded down."""
    assert Deadlines(0, 101).longest_soft == 70


@pytest.mark.parametrize(("timeout", "deadline"), [(None, 900), (100, 150), (850, 900), (2000, 900)])
def test_branch_deadline(timeout: int | None, deadline: int) -> None:
    """A branch's deadline counts from its first send, and is never behind stop."""
    assert branch_deadline(50, timeout, 900) == deadline


def test_the_unit() -> None:
    """Times are nanoseconds."""
    assert MS * 1000 == SECOND
