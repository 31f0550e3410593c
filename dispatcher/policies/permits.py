"""How many calls may be out at once, and how many may be begun a second.

Neither waits: a call that is refused here goes to the next endpoint, and waiting is the business of the worker's queue. A count
and not an `asyncio.Semaphore`: that one's limit cannot change on a reload.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from dispatcher.model.policy import RateRule
from fanmesh.model.times import SECOND

NEVER: Final = -(1 << 62)
"""A time before every other."""

LONGEST: Final = 1 << 62
"""Ns between two tokens, at most: 146 years."""


class InFlight:
    """How many are out. The limit is an argument (None = no limit), because a reload may change it while calls are out.

    Lowered below what is out, it admits nobody until enough have come back.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def free(self, limit: int | None) -> bool:
        """Whether there is room for one more. Changes nothing."""
        return limit is None or self.count < limit

    def take(self, limit: int | None) -> bool:
        """Take one, if there is room."""
        if limit is not None and self.count >= limit:
            return False
        self.count += 1
        return True

    def release(self) -> None:
        """Give one back. ValueError if none is out: a caller that gives back twice would lift the limit for ever."""
        if not self.count:
            raise ValueError("release without take")
        self.count -= 1


class RateBucket:
    """A bucket of `burst` tokens that gains `per_second` of them; it begins full. Times are the clock's ns.

    Only the time at which it will be full again is kept (GCRA, the generic cell rate algorithm): a token is an interval of
    that time, and nothing has to be filled up. The interval is rounded up to a whole ns: never above the rate. Within any w
    seconds at most `per_second` · w + `burst` are taken. When the rule changes, the tokens that are missing stay missing.

    A rule of None is no limit. `per_second` > 0 and `burst` ≥ 1, as configuration has checked.
    """

    __slots__ = ("_full_at", "_interval", "_rule", "_slack")

    def __init__(self) -> None:
        self._rule: RateRule | None = None
        self._interval = 0  # what one token takes
        self._slack = 0  # how far from full it may be, and still holds a token
        self._full_at = NEVER

    def free(self, rule: RateRule | None, now: int) -> bool:
        """Whether there is a token. Takes none."""
        if rule is None:
            return True
        if rule is not self._rule:
            self._adopt(rule, now)
        return self._full_at - now <= self._slack

    def take(self, rule: RateRule | None, now: int) -> bool:
        """Take a token, if there is one."""
        if not self.free(rule, now):
            return False
        if rule is not None:
            self._full_at = max(self._full_at, now) + self._interval
        return True

    def _adopt(self, rule: RateRule, now: int) -> None:
        """Go on by `rule`: as many tokens are missing as before, each of the new length, rounded up."""
        interval = ceil(min(SECOND / rule.per_second, LONGEST))
        if self._interval and self._full_at > now:
            self._full_at = now - (now - self._full_at) * interval // self._interval
        self._rule = rule
        self._interval = interval
        self._slack = (rule.burst - 1) * interval
