"""How fast an endpoint is, and which of two is the less loaded.

A mean that forgets by time and jumps at a peak (Finagle's Peak EWMA): an endpoint that becomes slow is avoided after one
answer, and trusted again only little by little. A plain mean needs dozens of answers to notice, all of them slow. A count of
outstanding calls sends most calls to an endpoint that fails at once, because it looks idle; here a failure counts as slow.

Two random candidates and not the best of all: that one is the best of every dispatcher at once, and is overrun (the power of
two choices).
"""

from __future__ import annotations

from math import ceil, exp
from typing import Final

from fanmesh.model.times import MS, SECOND

TAU: Final = 10 * SECOND
"""After so long without a call an estimate has faded to 1/e, so that the endpoint is tried again. Source: Finagle."""

RECOVERY: Final = 2 * SECOND
"""After so long a peak counts for 1/e beside a faster answer. Shorter than TAU, which Finagle takes for both: an endpoint that
answers fast again has shown it, and one hiccup of 60 ms must not make it as bad as a neighbour that always takes as long."""

MEMORY: Final = 30 * TAU
"""Age is counted up to here: an estimate fades, yet never becomes 0, where outstanding calls would no longer count."""

LEAST_PENALTY: Final = 10 * MS
MOST_PENALTY: Final = 5 * SECOND
GROWTH: Final = 3
"""A failure counts as GROWTH times slower than what is known, within [LEAST_PENALTY, MOST_PENALTY]; Linkerd's is always 5 s."""

ONE: Final = 1 << 32
"""1.0 as a weight. Weights are integers, because rounded floats let a slower history come out faster in the last digit."""


class PeakEwma:
    """The latency of one endpoint. Times are the clock's ns; a clock that steps back stands still here.

    `samples` counts what was recorded. Without any the estimate is 0, which ranks best: the caller needs a neutral prior for an
    endpoint that it knows nothing about (compare outstanding calls alone), or every new one gets all calls until its first
    answer.
    """

    __slots__ = ("_at", "_cost", "samples")

    def __init__(self) -> None:
        self.samples = 0
        self._cost = 0
        self._at = 0

    def observe(self, latency: int, now: int) -> None:
        """A call took `latency` ns. A slower one than all that is remembered replaces it; others pull it down by its age."""
        latency = max(latency, 1)
        cost = self._cost
        if latency >= cost:
            self._cost = latency
        else:
            age = max(now - self._at, 0)
            self._cost = latency + ((cost - latency) * int(exp(-age / RECOVERY) * ONE) >> 32)
        self._at = max(now, self._at)
        self.samples += 1

    def penalise(self, elapsed: int, now: int) -> None:
        """A call failed after `elapsed` ns. Failures compound, and never count as faster than an answer after the same time.

        Only the penalty is limited, to MOST_PENALTY: one failure must not starve a replica for a minute.
        """
        faded = ceil(self.estimate(now))
        penalty = min(max(GROWTH * faded, LEAST_PENALTY), MOST_PENALTY)
        self.observe(max(elapsed, penalty), now)
        self._cost = max(self._cost, faded)  # what is slower than any penalty is not pulled down by one

    def estimate(self, now: int) -> float:
        """The latency to expect, in ns; it fades, so that an endpoint that nobody calls is tried again. Changes nothing."""
        age = now - self._at
        if age <= 0:
            return float(self._cost)
        return self._cost * exp(-min(age, MEMORY) / TAU)


def load(estimate: float, outstanding: int) -> float:
    """How loaded an endpoint is: what the next call there has to expect behind the `outstanding` ones. Less is better."""
    return estimate * (outstanding + 1)


def two(count: int, u: float, v: float) -> tuple[int, int]:
    """Two of `count` ≥ 2 positions: `u` draws one of all, `v` one of the rest, both in [0, 1). All pairs are as likely."""
    first = int(u * count)
    second = int(v * (count - 1))
    return first, second + (second >= first)
