"""How the process protects itself: what it stops doing first, and whom it sends away.

Stages and not a rate limit, because what overloads a dispatcher is its own loop and memory, whatever the requests are. First go
the calls that nobody asked for, then the answers that nobody insists on, then requests; the least important caller first. The
order is that of Google's SRE book ("Handling Overload": shed by criticality) and of Envoy's overload manager (actions by
threshold).

| signal | hedges and shadows stop | optional branches stop | SHEDDABLE is refused | CRITICAL is refused |
|---|---|---|---|---|
| requests in flight | – | – | from 80 % of `max_in_flight` | at `max_in_flight` |
| lag of the loop | `lag.hedges` | `lag.optional` | `lag.reject` | 2 · `lag.reject` |
| memory, of `memory_limit` | `memory.hedges` | `memory.optional` | `memory.reject` | halfway from `memory.reject` to 1 |

A stage is entered at once. It is left one step at a time, and only when its signal has been clearly below the threshold for
HOLD: what is refused brings the signal down, and without the pause the next thousand requests would be let in on that account.

Pure: `lag` in ns, `memory` in bytes, `now` in ns, and `u` in [0, 1) are arguments.
"""

from __future__ import annotations

from enum import Enum, IntEnum, unique
from typing import Final, NamedTuple

from dispatcher.model.policy import OverloadRule, Thresholds
from fanmesh.model.times import MS

HOLD: Final = 500 * MS
"""How long a signal must have been below a stage before that stage is left."""

LAG_EASES: Final = 0.8
MEMORY_EASES: Final = 0.95
"""A stage is held down to this share of its threshold. More for memory, whose thresholds lie close together: 80 % of them
would be below the first one."""

SHEDDABLE_SHARE: Final = 0.8
"""The last fifth of `max_in_flight` is kept for CRITICAL requests."""

PUSHBACK: Final = (100, 200, 500, 1000, 2000)
"""Ms that a refused caller is told to stay away, at least, by stage; at most twice that: callers must not return together."""


@unique
class Stage(IntEnum):
    """What the process does without; each stage includes those before it."""

    CALM = 0
    NO_HEDGES = 1  # nor shadows
    NO_OPTIONAL = 2  # optional branches of plans that have a required one
    REJECTING = 3  # SHEDDABLE requests
    CLOSED = 4  # CRITICAL requests, too


@unique
class Why(Enum):
    """Why a request was refused at the door; the label of the counter."""

    MAX_IN_FLIGHT = "max_in_flight"
    LAG = "lag"
    MEMORY = "memory"
    IDEMPOTENCY = "idempotency"  # every remembered key belongs to a request that still runs


class Refused(NamedTuple):
    """Not now. `pushback` in ms, > 0."""

    why: Why
    pushback: int


def stage_of(rule: OverloadRule, lag: int, memory: int) -> Stage:
    """The stage that these signals ask for, the worse of the two; rising with each of them."""
    return max(_by_lag(rule, lag), _by_memory(rule, memory))


def _by_lag(rule: OverloadRule, lag: float) -> Stage:
    reject = rule.lag.reject
    return _by(rule.lag, lag, None if reject is None else 2 * reject)


def _by_memory(rule: OverloadRule, memory: float) -> Stage:
    if not rule.memory_limit:
        return Stage.CALM
    reject = rule.memory.reject
    return _by(rule.memory, memory / rule.memory_limit, None if reject is None else max(reject, (1 + reject) / 2))


def _by(thresholds: Thresholds, value: float, closed: float | None) -> Stage:
    if closed is not None and value >= closed:
        return Stage.CLOSED
    if thresholds.reject is not None and value >= thresholds.reject:
        return Stage.REJECTING
    if thresholds.optional is not None and value >= thresholds.optional:
        return Stage.NO_OPTIONAL
    if thresholds.hedges is not None and value >= thresholds.hedges:
        return Stage.NO_HEDGES
    return Stage.CALM


class _Signal:
    """The stage of one signal, with its memory."""

    __slots__ = ("held_at", "stage")

    def __init__(self) -> None:
        self.stage = Stage.CALM
        self.held_at = 0

    def look(self, asked: Stage, held: Stage, now: int) -> None:
        """`asked`: what the value asks for; `held` ≥ `asked`: the highest stage that it still holds."""
        if asked >= self.stage or held >= self.stage:
            self.stage = max(asked, self.stage)
            self.held_at = now
        elif now - self.held_at >= HOLD:
            self.stage = Stage(self.stage - 1)
            self.held_at = now


class Overload:
    """The stage of the process. `stage` is what the last look found, `why` the signal behind it."""

    __slots__ = ("_lag", "_memory", "stage", "why")

    def __init__(self) -> None:
        self._lag = _Signal()
        self._memory = _Signal()
        self.stage = Stage.CALM
        self.why = Why.LAG

    def look(self, rule: OverloadRule, lag: int, memory: int, now: int) -> Stage:
        """The stage at `now`: never below what the signals ask for."""
        self._lag.look(_by_lag(rule, lag), _by_lag(rule, lag / LAG_EASES), now)
        self._memory.look(_by_memory(rule, memory), _by_memory(rule, memory / MEMORY_EASES), now)
        self.stage = max(self._lag.stage, self._memory.stage)
        self.why = Why.MEMORY if self._memory.stage >= self._lag.stage else Why.LAG
        return self.stage


def admit(rule: OverloadRule, stage: Stage, why: Why, in_flight: int, u: float, *, critical: bool) -> Refused | None:
    """Whether one more request may come in beside `in_flight` others; None = it may. `why` is the signal behind `stage`."""
    if stage >= Stage.REJECTING and (not critical or stage is Stage.CLOSED):
        return Refused(why, pushback_of(stage, u))
    most = rule.max_in_flight
    if most is not None and in_flight >= (most if critical else most * SHEDDABLE_SHARE):
        return Refused(Why.MAX_IN_FLIGHT, pushback_of(stage, u))
    return None


def pushback_of(stage: Stage, u: float) -> int:
    """Ms for a refused caller to stay away: in [least, 2 · least), where `least` grows with the stage."""
    least = PUSHBACK[stage]
    return least + int(least * u)
