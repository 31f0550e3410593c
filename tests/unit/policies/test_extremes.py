"""Numbers that a configuration may hold although nobody means them: no policy may fail by them in the middle of a request."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import Backoff, BudgetRule, RateRule
from dispatcher.policies.backoff import backoff
from dispatcher.policies.budget import RetryBudget
from dispatcher.policies.permits import RateBucket
from fanmesh.model.times import SECOND

TINY, HUGE = 1e-300, 1e308


@pytest.mark.parametrize(("rate", "second_call"), [(TINY, False), (5e-324, False), (HUGE, True)])
def test_a_rate(rate: float, second_call: bool) -> None:  # noqa: FBT001  (a table)
    """One call in longer than the universe is one call; more than a machine can make are no limit."""
    bucket, rule = RateBucket(), RateRule(rate, 1)
    assert bucket.take(rule, 0)
    assert bucket.take(rule, SECOND) is second_call


def test_a_rate_that_is_changed_to_one() -> None:
    """The missing token stays missing."""
    bucket = RateBucket()
    assert bucket.take(RateRule(1.0, 1), 0)
    assert not bucket.take(RateRule(TINY, 1), SECOND // 2)


def test_a_budget() -> None:
    """A floor of as many as one likes is that, and its metric stays a share."""
    budget, rule = RetryBudget(), BudgetRule(1.0, HUGE)
    budget.deposit(rule, 0)
    assert budget.withdraw(rule, 0)
    assert budget.balance(rule, 0) > 1e9
    assert 0.99 < budget.remaining_ratio(rule, 0) <= 1.0
    assert 0.99 < budget.glance(rule, 0) <= 1.0


def test_a_backoff() -> None:
    """A multiplier beyond every number is the maximum at once; from nothing it is nothing."""
    assert backoff(Backoff(1, 1000, HUGE), 9, 0.5) == 500
    assert backoff(Backoff(0, 1000, HUGE), 9, 0.5) == 0
