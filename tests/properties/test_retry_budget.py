"""What must hold for any traffic: retries and hedges cost no more than was paid in for them."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.policy import BudgetRule
from dispatcher.policies.budget import HedgeAllowance, RetryBudget
from fanmesh.model.times import MS, SECOND

millionths = st.one_of(st.integers(0, 1_000_000), st.sampled_from([0, 50_000, 100_000, 200_000, 1_000_000]))
floors = st.sampled_from([0.0, 0.05, 0.1, 1.0, 3.0])
pauses = st.one_of(st.just(0), st.integers(0, 2 * SECOND), st.sampled_from([MS, SECOND, 9_999 * MS, 10 * SECOND, 11 * SECOND]))
steps = st.lists(st.tuples(pauses, st.sampled_from("dddwwr"), st.integers(1, 30)), max_size=60)


@given(millionths, floors, steps)
def test_ten_seconds_never_see_more_than_was_paid_for(ratio: int, floor: float, steps: list[tuple[int, str, int]]) -> None:
    """Withdrawals kept within any 10 s ≤ ratio · first attempts of these and 1 s before + 10 · floor, also with refunds."""
    rule = BudgetRule(ratio / 1_000_000, floor)
    budget, now = RetryBudget(), 0
    deposits, kept = list[int](), list[int]()
    for pause, what, times in steps:
        now += pause
        for _ in range(times):
            before = budget.balance(rule, now)
            assert before >= 0
            if what == "d":
                budget.deposit(rule, now)
                deposits.append(now)
            elif what == "w":
                assert budget.withdraw(rule, now) is (before >= 1)
                if before >= 1:
                    kept.append(now)
                else:
                    assert budget.balance(rule, now) == before
            elif kept and kept[-1] > now - 10 * SECOND:  # the worst case: the newest was the one that was not used
                kept.pop()
                budget.refund(now)
            assert 0 <= budget.remaining_ratio(rule, now) <= 1
            paid = Fraction(ratio, 1_000_000) * sum(at > now - 11 * SECOND for at in deposits) + Fraction(str(floor)) * 10
            recent = sum(at > now - 10 * SECOND for at in kept)
            assert what != "w" or before < 1 or recent <= paid


@given(millionths, st.lists(st.sampled_from("dddddwr"), max_size=400))
def test_hedges_never_exceed_their_share(load: int, steps: list[str]) -> None:
    """Hedges launched ≤ max_extra_load · first attempts, after every step and without any time; [0, 10] are saved up."""
    allowance, first, hedges = HedgeAllowance(), 0, 0
    for what in steps:
        before = allowance.tokens
        if what == "d":
            allowance.deposit(load / 1_000_000)
            first += 1
        elif what == "w":
            assert allowance.withdraw() is (before >= 1)
            hedges += before >= 1
        elif hedges:
            allowance.refund()
            hedges -= 1
        assert hedges * 1_000_000 <= load * first
        assert 0 <= allowance.tokens <= 10
