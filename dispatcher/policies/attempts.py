"""Retry and hedge as one state machine: when another attempt is launched beside or after the others, and which one counts.

One coordinator and not a retry layer over a hedge layer: two that do not know each other multiply (three tries of two hedges
are six calls), ask two budgets, and go to the same endpoint twice. Here they share one maximum, one budget, one set of
endpoints.

The shell says what happened (`launched`, `part`, `ended`, `refused`, `denied`) and asks `decide`. Pure: time and chance are
arguments, outcomes are values. Source of the rules: gRPC A6, and where it is silent docs/policies.md.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import NamedTuple, TypeAlias

from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.model.policy import Policy, Retry
from dispatcher.policies.backoff import backoff, pushback
from dispatcher.policies.worth import Worth, never_sent, worth
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import MS


@unique
class Denied(Enum):
    """Why a further attempt was not made. The values are label values of metrics and words of reports."""

    MAX_ATTEMPTS = "max_attempts"
    BUDGET = "budget"  # the worker's retry budget is spent
    EXTRA_LOAD = "extra_load"  # hedges have used up max_extra_load
    NO_TIME = "no_time"  # it could not end before the deadline
    PUSHBACK = "pushback"  # the worker said that nobody should come again
    COMMITTED = "committed"  # parts of an attempt have been taken, and cannot be taken back
    NO_OTHER_ENDPOINT = "no_other_endpoint"
    REFUSED = "refused"  # breaker, limit or rate refused every endpoint
    LIMIT = "limit"  # the worker's in-flight limit has no room for a second call at once
    COLD = "cold"  # too few latencies are known
    ALL_SLOW = "all_slow"  # the quantile is at its maximum: that is overload, not a straggler
    INHERITED = "inherited"  # the request is itself somebody's hedge, retry or shadow
    OVERLOAD = "overload"  # this process is short of time or memory


class Launch(NamedTuple):
    """Launch an attempt now."""

    kind: AttemptKind


class Wait(NamedTuple):
    """Nothing to do before `until`, or, if it is None, before something ends."""

    until: int | None


class Finish(NamedTuple):
    """The branch's outcome is known: that of attempt `number` (−1: nothing was launched). Whatever still flies is cancelled."""

    outcome: Outcome
    number: int


Decision: TypeAlias = Launch | Wait | Finish


class Attempts:
    """The attempts of one branch. `deadline` in the clock's ns; `hedge_after` ns from a launch to the hedge, None = no hedge.

    `least`: the ns that must be left for a further attempt to be worth it. `base`: the number of the first attempt.

    `flying`: numbers of the attempts that have been launched, have not ended and may still win. `why`: why the last further
    attempt was not made, and `missed` its kind. `hedge_due`: when the next hedge is, None = there is none to come. The first
    attempt is launched by `decide`, like the others.
    """

    __slots__ = (
        "_backoffs",
        "_closed",
        "_committed",
        "_due",
        "_least",
        "_policy",
        "_repeatable",
        "_replaceable",
        "count",
        "deadline",
        "elsewhere",
        "flying",
        "hedge_after",
        "hedge_due",
        "last",
        "missed",
        "next_number",
        "why",
        "won",
    )

    def __init__(self, policy: Policy, deadline: int, *, repeatable: bool, least: int = MIN_ATTEMPT, base: int = 0) -> None:
        self._policy = policy
        self._least = least
        self._repeatable = repeatable
        self.deadline = deadline
        self.hedge_after: int | None = None
        self.flying: set[int] = set()
        self.count = 0
        self.next_number = base
        self.last: Finish | None = None
        self.won: Finish | None = None
        self.why: Denied | None = None
        self.missed = AttemptKind.FIRST
        self.elsewhere = False  # an endpoint that has not been tried is known: somebody else may do better at once
        self._closed = False
        self._committed = -1
        self._replaceable = False
        self._backoffs = 0
        self._due: tuple[int, AttemptKind] | None = (0, AttemptKind.FIRST)
        self.hedge_due: int | None = None

    # ------------------------------------------------------------------ what happened

    def launched(self, kind: AttemptKind, now: int) -> int:
        """An attempt is on its way; returns its number. To be followed by `ended` or `refused`."""
        number = self.next_number
        self.next_number += 1
        self.count += 1
        self.flying.add(number)
        if kind is not AttemptKind.HEDGE:
            self._due = None
        self._arm_hedge(now)
        return number

    def part(self, number: int, *, replace: bool) -> bool:
        """A good part of attempt `number` is here; False: it has lost.

        The first one commits the branch to its attempt: the others have lost then, and do not fly any more.
        """
        if number not in self.flying:
            return False
        self._replaceable = replace and (self._committed == -1 or self._replaceable)
        self._committed = number
        self.flying = {number}
        self.hedge_due = self._due = None
        return True

    @property
    def committed(self) -> int:
        """The attempt whose parts have been taken; −1 = none."""
        return self._committed

    def ended(self, number: int, outcome: Outcome, now: int, u: float, *, held: bool = False) -> None:
        """Attempt `number` is over. `held`: its parts were held back, so none of them counts if it failed.

        Nothing, if it had lost: to the first part of another, or because the branch's outcome is known.
        """
        if number not in self.flying:
            return
        self.flying.discard(number)
        if self.won is not None:
            return
        finish = Finish(outcome, number)
        if isinstance(outcome, Success):
            self.won = finish
            return
        if held or not (_broke(self.last) and not _broke(finish)):  # parts that may be kept are more than another failure
            self.last = finish
        rule = self._policy.retry
        decided = worth(outcome, rule, repeatable=self._repeatable)
        if decided is Worth.FATAL:
            self.won = self.last
        elif decided is Worth.AWAIT or rule is None:
            self._stop(Denied.PUSHBACK if outcome.retry_after is not None else None)
        elif self._committed == number and not held and not self._replaceable:
            self._stop(Denied.COMMITTED)
        elif not self._closed:
            self._committed = -1  # the whole of what was committed can be replaced by that of another attempt
            self._again(outcome, rule, now, u)

    def refused(self, number: int, kind: AttemptKind, fault: Fault) -> None:
        """Attempt `number` could not leave: no endpoint may be called. That is no attempt, and no reason to forget a fault."""
        self.count -= 1
        if number == self.next_number - 1:
            self.next_number = number  # nobody has seen it: the next attempt has this number
        if number not in self.flying:
            return  # it had lost before it could leave
        self.flying.discard(number)
        if self.last is None and not self.count:
            self.last = Finish(fault, -1)
        self.denied(kind, Denied.NO_OTHER_ENDPOINT if kind is AttemptKind.HEDGE else Denied.REFUSED)

    def denied(self, kind: AttemptKind, why: Denied) -> None:
        """A launch was not allowed: what flies goes on, and the last outcome counts."""
        if kind is AttemptKind.HEDGE:
            self.why, self.missed = why, kind
            self.hedge_after = self.hedge_due = None
        else:
            self._stop(why)

    def hedge_in(self, after: int, now: int) -> None:
        """Hedge each attempt that takes longer than `after` ns, beginning with the one that was sent at `now`."""
        if self._repeatable and not self._closed and self._committed == -1:
            self.hedge_after = after
            self._arm_hedge(now)

    # ------------------------------------------------------------------ what is to be done

    def decide(self, now: int) -> Decision:
        """The next step at `now`. After a Launch that was made or denied, ask again."""
        if self.won is not None:
            return self.won
        if self._due is not None:
            at, kind = self._due
            if at <= now:
                if self._in_time(kind, now):
                    return Launch(kind)
            else:
                return Wait(at)  # whether or not something flies: nobody is hedged while a worker asks for peace
        if self.flying:
            if self.hedge_due is None:
                return Wait(None)
            if self.hedge_due > now:
                return Wait(self.hedge_due)
            return Launch(AttemptKind.HEDGE) if self._in_time(AttemptKind.HEDGE, now) else Wait(None)
        if self.last is None:
            self.last = Finish(no_time(self._least), -1)
        return self.last

    def _in_time(self, kind: AttemptKind, now: int) -> bool:
        """Whether there is time for an attempt now; if not, none is made. It was planned in time, but timers may be late.

        For the first one that has been asked when the branch's turn came: only what is too little for any attempt counts here.
        """
        if self.deadline - now >= (MIN_ATTEMPT if kind is AttemptKind.FIRST else self._least):
            return True
        self.denied(kind, Denied.NO_TIME)
        return False

    def _arm_hedge(self, now: int) -> None:
        """Plan the hedge beside what is sent at `now`: not if it is one attempt too many, or too late for an answer."""
        self.hedge_due = None
        if self.hedge_after is not None and self.count < self._policy.max_attempts:
            due = now + self.hedge_after
            self.hedge_due = due if due <= self.deadline - self._least else None

    def _again(self, fault: Fault, rule: Retry, now: int, u: float) -> None:
        """Plan the next attempt after `fault`."""
        if self.count >= self._policy.max_attempts:
            self._stop(Denied.MAX_ATTEMPTS)
            return
        if fault.retry_after is not None:
            wait, self._backoffs = pushback(fault.retry_after, u), 0
            self.hedge_due = None  # it asked for peace; the launch after the wait starts the timer again
        elif self.flying or (never_sent(fault) and self.elsewhere):
            wait = 0  # somebody healthy may be near: there is nothing to back off from
        else:
            self._backoffs += 1
            wait = backoff(rule.backoff, self._backoffs, u)
        at = now + wait if self._due is None else max(now + wait, self._due[0])  # whoever asked for peace before is heard, too
        if at > self.deadline - self._least:
            self._stop(Denied.NO_TIME)
        else:
            self._due = (at, AttemptKind.RETRY)

    def _stop(self, why: Denied | None) -> None:
        """Nothing more is launched; what flies may land."""
        self._closed = True
        self._due = self.hedge_due = self.hedge_after = None
        if why is not None:
            self.why, self.missed = why, AttemptKind.RETRY


def _broke(finish: Finish | None) -> bool:
    """Whether it is a stream that broke after parts."""
    return finish is not None and isinstance(finish.outcome, Fault) and finish.outcome.kind is FaultKind.STREAM_BROKEN


def no_time(least: int = MIN_ATTEMPT) -> Fault:
    """Too little was left for a first attempt, which needs `least` ns."""
    return Fault(FaultKind.NO_TIME, Code.DEADLINE_EXCEEDED, f"less than {least / MS:g} ms were left", sent=False)
