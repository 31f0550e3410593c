"""How the time of a request is divided. Integer ns; the rules are those of "Time" in docs/design.md."""

from __future__ import annotations

from typing import Final, NamedTuple

from fanmesh.model.times import MS, SECOND

DEFAULT_TOTAL: Final = 10 * SECOND
"""The whole time when neither the caller nor the plan says one."""

MIN_ATTEMPT: Final = 5 * MS
"""With less than this left an attempt is not worth starting."""


class Deadlines(NamedTuple):
    """Since the request's arrival: `total` the reply must be out, `stop` the request must be complete."""

    total: int
    stop: int

    @property
    def longest_soft(self) -> int:
        """No soft timeout is later than this: 0.7 · stop, so that giving up on time leaves time to act on it."""
        return self.stop * 7 // 10


def divide(caller: int | None, plan: int | None, merge_reserve: int, budget: int | None = None) -> Deadlines:
    """T = min(caller's deadline, plan's latency, caller's budget; 10 s if none), stop = T − min(reserve, T/4).

    A policy may shorten a deadline and never lengthens it. A caller's deadline that has passed gives 0.
    """
    given = [t for t in (caller, plan, budget) if t is not None]
    total = max(0, min(given)) if given else DEFAULT_TOTAL
    return Deadlines(total, total - min(merge_reserve, total // 4))


def soft_within(soft: int | None, deadlines: Deadlines) -> int | None:
    """The effective soft timeout."""
    return None if soft is None else min(soft, deadlines.longest_soft)


def branch_deadline(now: int, timeout: int | None, stop: int) -> int:
    """When a branch that is sent at `now` must have ended."""
    return stop if timeout is None else min(now + timeout, stop)
