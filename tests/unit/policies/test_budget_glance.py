"""The retry budget as the metrics thread sees it: at the last event, and changing nothing."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import BudgetRule
from dispatcher.policies.budget import RetryBudget
from fanmesh.model.times import SECOND

RULE = BudgetRule(ratio=0.5, min_per_second=0.1)


@pytest.mark.parametrize(("paid", "taken", "left"), [(0, 0, 1.0), (2, 0, 1.0), (2, 1, 0.5), (2, 2, 0.0), (6, 1, 0.75)])
def test_it_is_what_is_left(paid: int, taken: int, left: float) -> None:
    """The same share that asking properly would give; an unused budget is whole."""
    budget = RetryBudget()
    for _ in range(paid):
        budget.deposit(RULE, 0)
    for _ in range(taken):
        assert budget.withdraw(RULE, 0)
    assert budget.glance(RULE, 0) == budget.remaining_ratio(RULE, 0) == left


def test_after_a_long_silence_it_is_whole_again() -> None:
    """Everything has been forgotten by then, although nobody has asked."""
    budget = RetryBudget()
    budget.withdraw(RULE, 0)
    assert (budget.glance(RULE, 10 * SECOND), budget.glance(RULE, 11 * SECOND)) == (0.0, 1.0)


def test_it_changes_nothing() -> None:
    """A glance from the future forgets nothing: the next event finds the budget as it was."""
    budget = RetryBudget()
    budget.withdraw(RULE, 0)
    budget.glance(RULE, 60 * SECOND)
    assert not budget.withdraw(RULE, SECOND)


def test_a_rule_that_gives_nothing() -> None:
    """After a reload to a budget of nothing, what was taken before leaves nothing."""
    budget = RetryBudget()
    budget.withdraw(RULE, 0)
    assert budget.glance(BudgetRule(ratio=0.0, min_per_second=0.0), 0) == 0.0
