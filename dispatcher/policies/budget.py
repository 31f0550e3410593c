"""What retries and hedges may cost: a share of the first attempts that were really made, never a share of a configured rate.

A budget in terms of what is in flight (Envoy, failsafe-go) says nothing at low concurrency, and one in terms of a rate that
somebody wrote down (hedge-python) lets a quiet worker be hedged on every call. So each first attempt pays in, and each
further one takes 1 out. The retry budget adds a small floor per second, so that a worker that is called rarely can be retried
at all. A denied retry is no error of its own: the caller keeps the outcome it has.

Tokens are integers of a millionth, so that a thousand deposits of 0.05 are exactly fifty. A ratio is rounded to that. Source:
Finagle's RetryBudget (TTL 10 s, reserve = floor · TTL) and the separate budget of its BackupRequestFilter.
"""

from __future__ import annotations

from typing import Final

from dispatcher.model.policy import BudgetRule
from fanmesh.model.times import SECOND

TOKEN: Final = 1_000_000
TTL: Final = 10
"""Seconds."""

SLOTS: Final = TTL + 1
"""The second that is running and the ten before it: neither a deposit nor a withdrawal is forgotten within ten seconds."""

SAVED: Final = 10 * TOKEN

MOST: Final = 1e9
"""A floor per second above this is this: nobody calls as often, and a product of floats must stay a number."""


class RetryBudget:
    """One worker in one process. Within any 10 s it gives out at most 10 · floor + what was paid in then or up to 1 s before.

    The rule is an argument because a reload may change it; what was paid in before stays.
    """

    __slots__ = ("_given", "_given_sum", "_paid", "_paid_sum", "_second")

    def __init__(self) -> None:
        self._paid = [0] * SLOTS
        self._given = [0] * SLOTS
        self._paid_sum = self._given_sum = 0
        self._second = -1 << 63

    def deposit(self, rule: BudgetRule, now: int) -> None:
        """A first attempt was sent."""
        slot = self._slot(now)
        amount = round(rule.ratio * TOKEN)
        self._paid[slot] += amount
        self._paid_sum += amount

    def withdraw(self, rule: BudgetRule, now: int) -> bool:
        """Take 1 for a retry or a hedge. False: denied, and nothing has changed."""
        slot = self._slot(now)
        if _floor(rule) + self._paid_sum - self._given_sum < TOKEN:
            return False
        self._given[slot] += TOKEN
        self._given_sum += TOKEN
        return True

    def refund(self, now: int) -> None:
        """What was withdrawn was not used after all. Nothing happens if that withdrawal is older than 10 s.

        The oldest withdrawal is struck out, whichever it was: the others then count for longer, never for shorter.
        """
        newest = self._slot(now)
        for age in range(SLOTS - 1, -1, -1):
            slot = (newest - age) % SLOTS
            if self._given[slot]:
                self._given[slot] -= TOKEN
                self._given_sum -= TOKEN
                return

    def balance(self, rule: BudgetRule, now: int) -> float:
        """Tokens that are left, ≥ 0; below 1 a withdrawal is denied."""
        self._slot(now)
        return max(_floor(rule) + self._paid_sum - self._given_sum, 0) / TOKEN

    def remaining_ratio(self, rule: BudgetRule, now: int) -> float:
        """What is left of what there would be if nothing had been withdrawn, in [0, 1]; for the metric. An unused one is 1."""
        self._slot(now)
        full = _floor(rule) + self._paid_sum
        if not self._given_sum:
            return 1.0
        return max(full - self._given_sum, 0) / full if full else 0.0

    def glance(self, rule: BudgetRule, now: int) -> float:
        """`remaining_ratio` as it was at the last event, changing nothing: for a thread that only looks on."""
        full = _floor(rule) + self._paid_sum
        if not self._given_sum or now // SECOND - self._second > TTL:
            return 1.0
        return max(full - self._given_sum, 0) / full if full else 0.0

    def _slot(self, now: int) -> int:
        """The slot of `now`, after what is too old has been forgotten."""
        second = now // SECOND
        if second > self._second:
            for old in range(max(self._second + 1, second - TTL), second + 1):
                slot = old % SLOTS
                self._paid_sum -= self._paid[slot]
                self._given_sum -= self._given[slot]
                self._paid[slot] = self._given[slot] = 0
            self._second = second
        return self._second % SLOTS


def _floor(rule: BudgetRule) -> int:
    return round(min(rule.min_per_second, MOST) * TTL * TOKEN)


class HedgeAllowance:
    """Hedges as a share of first attempts, beside the retry budget: one worker in one process.

    It starts empty, has no floor and knows no time, so the share holds at 5 requests per second as at 5,000. At most 10 are
    saved up: a quiet worker may hedge again, and many stragglers at once cannot double the load.
    """

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens = 0

    @property
    def tokens(self) -> float:
        """Hedges saved up, in [0, 10]."""
        return self._tokens / TOKEN

    def deposit(self, max_extra_load: float) -> None:
        """A first attempt was sent; `max_extra_load` is hedges per first attempt."""
        self._tokens = min(self._tokens + round(max_extra_load * TOKEN), SAVED)

    def withdraw(self) -> bool:
        """Take one hedge. False: denied, and nothing has changed."""
        if self._tokens < TOKEN:
            return False
        self._tokens -= TOKEN
        return True

    def refund(self) -> None:
        """The hedge that was withdrawn was not launched after all."""
        self._tokens = min(self._tokens + TOKEN, SAVED)
