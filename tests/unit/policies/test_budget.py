"""The retry budget and the hedge allowance, by hand; what must hold for any traffic is in tests/properties."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import BudgetRule
from dispatcher.policies.budget import HedgeAllowance, RetryBudget
from fanmesh.model.times import MS, SECOND

SHARE = BudgetRule(ratio=0.2, min_per_second=0.0)
FLOOR = BudgetRule(ratio=0.0, min_per_second=1.0)
BOTH = BudgetRule(ratio=0.2, min_per_second=1.0)
NOTHING = BudgetRule(ratio=0.0, min_per_second=0.0)


def paid(rule: BudgetRule, first_attempts: int, now: int = 0) -> RetryBudget:
    """After so many first attempts at `now`."""
    budget = RetryBudget()
    for _ in range(first_attempts):
        budget.deposit(rule, now)
    return budget


def taken(budget: RetryBudget, rule: BudgetRule, now: int) -> int:
    """Withdrawals until it is denied."""
    count = 0
    while budget.withdraw(rule, now):
        count += 1
    return count


@pytest.mark.parametrize(
    ("rule", "first_attempts", "retries"),
    [(SHARE, 0, 0), (SHARE, 4, 0), (SHARE, 5, 1), (SHARE, 100, 20), (FLOOR, 0, 10), (FLOOR, 100, 10), (BOTH, 50, 20)],
)
def test_five_first_attempts_pay_for_one_retry(rule: BudgetRule, first_attempts: int, retries: int) -> None:
    """`ratio` per first attempt, and the floor of ten seconds at once."""
    assert taken(paid(rule, first_attempts), rule, 0) == retries


def test_a_thousand_small_deposits_are_exactly_their_sum() -> None:
    """1,000 times 0.1 are 100: no float is added up."""
    rule = BudgetRule(ratio=0.1, min_per_second=0.0)
    assert paid(rule, 1000).balance(rule, 0) == 100.0


def test_a_denied_withdrawal_changes_nothing() -> None:
    """The next deposit is not spent on what was denied before."""
    budget = paid(SHARE, 4)
    assert not any(budget.withdraw(SHARE, 0) for _ in range(100))
    assert budget.balance(SHARE, 0) == 0.8
    budget.deposit(SHARE, 0)
    assert budget.withdraw(SHARE, 0)


@pytest.mark.parametrize("at", [0, 1, 999 * MS])
def test_a_deposit_lives_ten_seconds(at: int) -> None:
    """Ten whole ones, at most eleven; afterwards it is gone for good."""
    budget = paid(SHARE, 5, at)
    assert budget.balance(SHARE, at + 10 * SECOND) == 1.0
    assert budget.balance(SHARE, at + 11 * SECOND) == 0.0
    assert not budget.withdraw(SHARE, 5000 * SECOND)


def test_the_floor_comes_back_ten_seconds_after_it_was_used() -> None:
    """Not sooner, so that no ten seconds see more than ten times the floor."""
    budget = RetryBudget()
    assert taken(budget, FLOOR, 999 * MS) == 10
    assert taken(budget, FLOOR, 10_999 * MS) == 0
    assert taken(budget, FLOOR, 11 * SECOND) == 10


def test_a_deposit_that_is_forgotten_before_its_withdrawal_leaves_no_debt_to_show() -> None:
    """Paid in at 0, withdrawn at 9 s: at 11 s the sum is −1, the balance is 0, and a retry is denied."""
    budget = paid(SHARE, 5)
    assert budget.withdraw(SHARE, 9 * SECOND)
    assert budget.balance(SHARE, 11 * SECOND) == 0.0
    assert budget.remaining_ratio(SHARE, 11 * SECOND) == 0.0
    assert not budget.withdraw(SHARE, 11 * SECOND)


def test_a_refund_is_as_if_nothing_had_been_withdrawn() -> None:
    """Also a second later."""
    budget = RetryBudget()
    assert taken(budget, FLOOR, 0) == 10
    budget.refund(SECOND)
    assert taken(budget, FLOOR, SECOND) == 1


def test_a_refund_makes_no_token() -> None:
    """Of nothing that was withdrawn, or of a withdrawal that is forgotten already."""
    budget = paid(SHARE, 5)
    budget.refund(0)
    assert taken(budget, SHARE, 0) == 1
    budget.refund(11 * SECOND)
    assert budget.balance(SHARE, 11 * SECOND) == 0.0


def test_a_refund_strikes_out_the_oldest() -> None:
    """Withdrawn at 0 and at 5 s, one refunded: the other counts until 16 s, whichever it was."""
    rule = BudgetRule(ratio=0.0, min_per_second=0.2)
    budget = RetryBudget()
    assert budget.withdraw(rule, 0)
    assert budget.withdraw(rule, 5 * SECOND)
    budget.refund(5 * SECOND)
    assert budget.balance(rule, 15 * SECOND) == 1.0
    assert budget.balance(rule, 16 * SECOND) == 2.0


@pytest.mark.parametrize(
    ("rule", "first_attempts", "retries", "ratio"),
    [(BOTH, 0, 0, 1.0), (BOTH, 50, 5, 0.75), (BOTH, 50, 20, 0.0), (NOTHING, 0, 0, 1.0), (NOTHING, 50, 0, 1.0)],
)
def test_the_metric_is_what_is_left_of_the_whole(rule: BudgetRule, first_attempts: int, retries: int, ratio: float) -> None:
    """1 if nothing was withdrawn, also of an empty one: an idle worker is not an alarm."""
    budget = paid(rule, first_attempts)
    assert all(budget.withdraw(rule, 0) for _ in range(retries))
    assert budget.remaining_ratio(rule, 0) == ratio


def test_the_metric_is_zero_if_a_reload_took_everything() -> None:
    """The floor was used up and is then switched off: 0 of 0 that was used is nothing left."""
    budget = RetryBudget()
    assert budget.withdraw(FLOOR, 0)
    assert budget.remaining_ratio(NOTHING, 0) == 0.0


def test_a_reload_keeps_what_was_paid_in() -> None:
    """A new ratio is for new attempts; a new floor holds at once."""
    budget = paid(SHARE, 50)
    budget.deposit(BudgetRule(ratio=1.0, min_per_second=0.0), 0)
    assert budget.balance(BOTH, 0) == 21.0


def test_a_clock_that_two_callers_read_out_of_order_loses_nothing() -> None:
    """A deposit from just before the second began counts in the second that runs."""
    budget = paid(SHARE, 5, SECOND)
    for _ in range(5):
        budget.deposit(SHARE, SECOND - 1)
    assert taken(budget, SHARE, SECOND) == 2


def test_an_allowance_starts_empty() -> None:
    """No hedge before it has been earned."""
    allowance = HedgeAllowance()
    assert not allowance.withdraw()
    assert allowance.tokens == 0.0


def test_a_hedge_is_earned_by_twenty_first_attempts() -> None:
    """5 %: the twentieth pays for one, and for no second one."""
    allowance = HedgeAllowance()
    for _ in range(19):
        allowance.deposit(0.05)
    assert not allowance.withdraw()
    allowance.deposit(0.05)
    assert allowance.withdraw()
    assert not allowance.withdraw()


def test_ten_hedges_are_saved_up() -> None:
    """However long nothing was slow; and a refund does not lift it above that."""
    allowance = HedgeAllowance()
    for _ in range(10_000):
        allowance.deposit(0.05)
    allowance.refund()
    assert allowance.tokens == 10.0
    assert sum(allowance.withdraw() for _ in range(100)) == 10


def test_a_hedge_that_was_not_launched_is_given_back() -> None:
    """It can be taken again, once."""
    allowance = HedgeAllowance()
    allowance.deposit(1.0)
    assert allowance.withdraw()
    allowance.refund()
    assert allowance.withdraw()
    assert not allowance.withdraw()


@pytest.mark.parametrize("per_second", [5, 50, 5000])
def test_the_share_holds_at_any_rate(per_second: int) -> None:
    """If every call wanted a hedge, one in twenty gets it, at 5 requests per second as at 5,000; retries get their fifth."""
    rule = BudgetRule(0.2, 0.0)
    allowance, budget, hedges, retries = HedgeAllowance(), RetryBudget(), 0, 0
    for step in range(1000):
        now = step * SECOND // per_second
        allowance.deposit(0.05)
        budget.deposit(rule, now)
        hedges += allowance.withdraw()
        retries += budget.withdraw(rule, now)
    assert (hedges, retries) == (50, 200)
