"""How long the attempts of one worker take: what a hedge waits for, and what a fair budget for an attempt is.

Attempts, never requests: the total of a hedged request is short *because* it was hedged, and says nothing of how slow the
worker is. Nor is an attempt left out that was cancelled or ran out of time: it is one of the slow ones, and an estimate
without them sinks and hedges ever more. It says "longer than this" (a right-censored sample), and the Kaplan–Meier estimate
takes it for just that.

Why buckets and not a list of samples, a t-digest or an EWMA: memory is fixed, a sample costs two additions, what is old can
be taken out again, and 5 % of width is finer than a hedge needs. Times and latencies are ns, latencies ≥ 0.

Source: Finagle's WindowedPercentileHistogram (3 slices of 10 s) and BackupRequestFilter (superseded attempts are recorded).
"""

from __future__ import annotations

from bisect import bisect_left
from math import ceil, sqrt
from typing import Final

from fanmesh.model.times import MS, SECOND, US

SLICE: Final = 10 * SECOND
SLICES: Final = 3
"""The window: the slice that is being filled and the two before it, 20 to 30 s."""

FRESH: Final = 250 * MS
"""A value is computed again after this at the latest, and at the end of a slice."""

FEW: Final = 200
"""Below so many samples each one may move the value: it is computed again after every one."""

CONFIDENCE: Final = 1.645
"""Standard errors below which a normal estimate lies in one case of twenty."""

USUAL: Final = 0.9
LEAST: Final = 100 * US
MOST: Final = 60 * SECOND
WIDTH: Final = 1.05

NEVER: Final = -1 << 63
ROUNDING: Final = 1e-9
"""What a product of a few hundred floats may be off by: one in a million samples must not shift a quantile by a bucket."""


def _bounds() -> tuple[int, ...]:
    """The upper bound of each bucket but the last, which has none."""
    out = [LEAST]
    while out[-1] < MOST:
        out.append(min(round(LEAST * WIDTH ** len(out)), MOST))
    return tuple(out)


BOUNDS: Final = _bounds()
BUCKETS: Final = len(BOUNDS) + 1


class _Counts:
    """Samples by bucket, of a slice or of the whole window."""

    __slots__ = ("cut", "done", "longest", "n_cut", "n_done", "slowest")

    def __init__(self) -> None:
        self.done = [0] * BUCKETS  # completed
        self.cut = [0] * BUCKETS  # censored
        self.n_done = self.n_cut = 0
        self.slowest = 0  # the largest completed
        self.longest = 0  # the largest of all


class Latencies:
    """One worker, all its endpoints and requests. It is not told of failures: they say nothing of how long an answer takes."""

    __slots__ = (
        "_early",
        "_early_q",
        "_early_until",
        "_epoch",
        "_q",
        "_quantile",
        "_quantile_until",
        "_slices",
        "_sum",
        "_usual",
        "_usual_until",
    )

    def __init__(self) -> None:
        self._slices = [_Counts() for _ in range(SLICES)]
        self._sum = _Counts()
        self._epoch = NEVER
        self._q = 0.0
        self._quantile: int | None = None
        self._quantile_until = NEVER
        self._early_q = 0.0
        self._early: int | None = None
        self._early_until = NEVER
        self._usual: int | None = None
        self._usual_until = NEVER

    def observe(self, latency: int, now: int) -> None:
        """An attempt was answered after `latency`, its own."""
        total, part = self._sum, self._at(now)
        bucket = bisect_left(BOUNDS, latency)
        part.done[bucket] += 1
        part.n_done += 1
        total.done[bucket] += 1
        total.n_done += 1
        if latency > part.slowest:
            part.slowest = latency
            total.slowest = max(total.slowest, latency)
        self._added(part, latency)

    def censored(self, elapsed: int, now: int) -> None:
        """An attempt was given up after `elapsed`, by us or by its deadline: it would have taken longer."""
        total, part = self._sum, self._at(now)
        bucket = bisect_left(BOUNDS, elapsed)
        part.cut[bucket] += 1
        part.n_cut += 1
        total.cut[bucket] += 1
        total.n_cut += 1
        self._added(part, elapsed)

    def samples(self, now: int) -> int:
        """Attempts within the window, completed and censored."""
        self._at(now)
        return self._sum.n_done + self._sum.n_cut

    def quantile(self, q: float, now: int) -> int | None:
        """The latency that a share `q` in [0, 1] of all attempts does not exceed, up to a bucket's width (5 %) too high.

        None without a sample. Where censoring leaves it open, the largest value seen: a lower bound.
        """
        if now < self._quantile_until and q == self._q:
            return self._quantile
        self._at(now)
        self._q, self._quantile, self._quantile_until = q, self._survival(1.0 - q + ROUNDING), self._fresh_until(now)
        return self._quantile

    def early(self, q: float, now: int) -> int | None:
        """The lower end of what quantile `q` may be, as far as the samples tell: with 95 % confidence it is not earlier.

        For a threshold that does harm if it is late and little if it is early. Where a share of 5 % is slow, the 95th
        percentile stands at a cliff: one straggler more in the window, and the estimate is itself a straggler's latency. The
        rank is lowered by 1.645 standard errors, √(q·(1 − q)/n). None without a sample.
        """
        if now < self._early_until and q == self._early_q:
            return self._early
        self._at(now)
        count = self._sum.n_done + self._sum.n_cut
        rank = max(q - CONFIDENCE * sqrt(q * (1.0 - q) / count), 0.0) if count else q
        self._early_q, self._early, self._early_until = q, self._survival(1.0 - rank + ROUNDING), self._fresh_until(now)
        return self._early

    def usual(self, now: int) -> int | None:
        """The latency that 90 % of the answered attempts did not exceed; None if none was answered within the window.

        Without the censored ones on purpose. It asks whether an attempt had as much time as answers take; if attempts that were
        cut off counted, a worker that only times out would be owed ever more time, and would never be found at fault.
        """
        if now < self._usual_until:
            return self._usual
        self._at(now)
        self._usual, self._usual_until = self._of_answers(), self._fresh_until(now)
        return self._usual

    def _at(self, now: int) -> _Counts:
        """The slice of `now`, after what is too old has been taken out."""
        epoch = now // SLICE
        if epoch > self._epoch:
            for old in range(max(self._epoch + 1, epoch - SLICES + 1), epoch + 1):
                self._expire(old % SLICES)
            self._epoch = epoch
        return self._slices[self._epoch % SLICES]

    def _expire(self, at: int) -> None:
        old, total = self._slices[at], self._sum
        if not old.n_done and not old.n_cut:
            return
        self._slices[at] = _Counts()
        total.done = [a - b for a, b in zip(total.done, old.done, strict=True)]
        total.cut = [a - b for a, b in zip(total.cut, old.cut, strict=True)]
        total.n_done -= old.n_done
        total.n_cut -= old.n_cut
        total.slowest = max(part.slowest for part in self._slices)
        total.longest = max(part.longest for part in self._slices)

    def _added(self, part: _Counts, value: int) -> None:
        """A sample of that size is in: raise the largest of all, and forget what was computed if samples are few."""
        total = self._sum
        if value > part.longest:
            part.longest = value
            total.longest = max(total.longest, value)
        if total.n_done + total.n_cut <= FEW:
            self._quantile_until = self._early_until = self._usual_until = NEVER

    def _fresh_until(self, now: int) -> int:
        return min(now + FRESH, (self._epoch + 1) * SLICE)

    def _survival(self, alive_at_most: float) -> int | None:
        """Kaplan–Meier: where the share that still runs falls to `alive_at_most`. In a bucket answers come before cuts."""
        total = self._sum
        at_risk = total.n_done + total.n_cut
        if not at_risk:
            return None
        alive = 1.0
        for bucket, done in enumerate(total.done):
            if done:
                alive *= (at_risk - done) / at_risk
                if alive <= alive_at_most:
                    return min(BOUNDS[bucket], total.slowest) if bucket < len(BOUNDS) else total.slowest
            at_risk -= done + total.cut[bucket]
        return total.longest

    def _of_answers(self) -> int | None:
        """The `USUAL` quantile of what completed."""
        total = self._sum
        if not total.n_done:
            return None
        missing = ceil(USUAL * total.n_done)
        for bucket, done in enumerate(total.done):
            missing -= done
            if missing <= 0 and bucket < len(BOUNDS):
                return min(BOUNDS[bucket], total.slowest)
        return total.slowest
