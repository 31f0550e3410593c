"""When an endpoint is not called for a while, and how it is found out that it may be called again.

Two signals, because each is blind to what the other sees: failures in a row stop a dead endpoint after five calls, and the
share of failures within a window stops one that fails every other call.

Half-open is where breakers get stuck for days: a probe that was cancelled, or that nobody ever settled, keeps all others out
(OmniRoute 13836, resilience4j 903). So a probe lapses at its own deadline, and one that says nothing makes room for the next.

Pure: it is told what happened and when. Times are the clock's ns; `u` in [0, 1) is a random number. The rule is an argument of
each call, because a breaker survives a reload and its rule may not.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import Final, NamedTuple

from dispatcher.model.policy import BreakerRule
from dispatcher.policies.window import Window
from fanmesh.model.fault import REFUSALS, Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome


@unique
class State(Enum):
    """Whether the endpoint is called."""

    CLOSED = "closed"  # it is
    OPEN = "open"  # it is not, until `retry_at`
    HALF_OPEN = "half_open"  # by one probe at a time


@unique
class Judgement(Enum):
    """What an outcome says about the health of the endpoint."""

    SUCCESS = "success"
    FAILURE = "failure"
    LIMITED = "limited"  # too busy: counts for the rate and fails a probe, is not a failure in a row and does not end one
    ANSWERED = "answered"  # somebody is there and looked it up; a probe has succeeded, and nothing else is counted
    NEUTRAL = "neutral"  # nothing


@unique
class Why(Enum):
    """The reason of a transition."""

    CONSECUTIVE = "consecutive"  # opened: failures in a row
    RATE = "rate"  # opened: the share of failures
    PROBE_FAILED = "probe_failed"  # opened again
    DUE = "due"  # half-open: the open time is over
    TRIAL = "trial"  # half-open before its time: no endpoint was closed, and one had to be tried
    RECOVERED = "recovered"  # closed: the probe succeeded
    PROBATION = "probation"  # closed: no probe was let say anything; the next failure opens it again


class Permit(NamedTuple):
    """The right to make one call; given back by `Breaker.settle`. `generation`: the one of the breaker when it was given."""

    generation: int
    probe: bool


class Transition(NamedTuple):
    """A change of state."""

    before: State
    after: State
    why: Why


SILENT: Final = REFUSALS | {FaultKind.NO_TIME, FaultKind.CANCELLED, FaultKind.TOO_LARGE}
"""Kinds that say nothing about the endpoint: nothing was sent, we stopped it ourselves, or the limit that it met is ours."""

FAILURES: Final = frozenset({Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS})
"""Codes of an endpoint in trouble. UNKNOWN is among them: it is what an uncaught exception of a Python servicer looks like."""


UNHEARD: Final = 3
"""Probes in a row that said nothing, after which the endpoint is called again, on probation."""

ANSWERS: Final = frozenset({Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.ABORTED, Code.OUT_OF_RANGE})
"""Codes that say how the data stands, so that whoever says them has looked."""


def judge(outcome: Outcome | None, *, fair: bool) -> Judgement:
    """What `outcome` says about the endpoint; None: we cancelled the call. `fair`: it had at least its usual latency.

    A call without a fair time cannot fail by DEADLINE_EXCEEDED: callers in a hurry would open a healthy endpoint's breaker.
    A request that never left us for want of a connection is a failure, too: there is nobody at that address. One that never
    left for another reason (metadata that cannot be sent) says nothing: else one caller could shut an endpoint for all.

    All other codes are neutral and not successes, although an endpoint did answer: a validation in front, or a proxy, refuses
    requests (INVALID_ARGUMENT, UNIMPLEMENTED, UNAUTHENTICATED) however broken the work behind it is. As successes they would
    end every row of failures and dilute the rate. Those in ANSWERS can only be known by doing the work, so they close a breaker
    that is being probed: a worker whose usual answer is NOT_FOUND would else never recover. See docs/decisions/0014.
    """
    if outcome is None:
        return Judgement.NEUTRAL
    if not isinstance(outcome, Fault):
        return Judgement.SUCCESS
    code = outcome.code
    if not outcome.sent and outcome.kind is WORKER_ERROR and code is not Code.UNAVAILABLE:
        return Judgement.NEUTRAL  # our own side refused to send it
    if outcome.kind in SILENT or (outcome.kind is FaultKind.INVALID_RESPONSE and outcome.origin is Origin.LOCAL):
        return Judgement.NEUTRAL  # the latter: an answer that only this plan cannot use
    if code in ANSWERS:
        return Judgement.ANSWERED
    if code in FAILURES or (fair and code is Code.DEADLINE_EXCEEDED):
        return Judgement.FAILURE
    return Judgement.LIMITED if code is Code.RESOURCE_EXHAUSTED else Judgement.NEUTRAL


WORKER_ERROR: Final = FaultKind.WORKER_ERROR
# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
CLOSED: Final = State.CLOSED
SUCCESS: Final = Judgement.SUCCESS
FAILURE: Final = Judgement.FAILURE
ANSWERED: Final = Judgement.ANSWERED
NEUTRAL: Final = Judgement.NEUTRAL


class Breaker:
    """The breaker of one endpoint.

    `generation` counts permits that lose their meaning together: it grows with each change of state and with each probe.
    `retry_at`: from when on one that is not closed may be probed. `transitions`: how often each state was entered; `last`: the
    latest change.
    """

    __slots__ = (
        "_hold",
        "_lapses",
        "_permit",
        "_row",
        "_unheard",
        "_window",
        "generation",
        "last",
        "retry_at",
        "state",
        "transitions",
    )

    def __init__(self) -> None:
        self.state = CLOSED
        self.generation = 0
        self.retry_at = 0
        self.transitions = dict.fromkeys(State, 0)
        self.last: Transition | None = None
        self._permit = Permit(0, probe=False)  # what everybody gets while it is closed
        self._row = 0  # failures in a row
        self._hold = 0  # how long it was opened for, without jitter; 0 since it closed
        self._lapses: int | None = None  # when the probe that is out lapses; None: none is out
        self._unheard = 0  # probes in a row that said nothing
        self._window = Window()

    def admits(self, now: int) -> bool:
        """Whether `acquire` would give a permit. Changes nothing."""
        return self.state is CLOSED or (now >= self.retry_at and (self._lapses is None or now >= self._lapses))

    def acquire(self, now: int, until: int, *, trial: bool = False) -> Permit | None:
        """A permit, or None. One for a probe lapses at `until`, the deadline of the call: then the next one may be given.

        `trial`: also before `retry_at`, though never beside another probe.
        """
        if self.state is CLOSED:
            return self._permit
        due = now >= self.retry_at
        if not (due or trial) or (self._lapses is not None and now < self._lapses):
            return None
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN, Why.DUE if due else Why.TRIAL)
        else:
            self.generation += 1  # the probe before this one comes too late
        self._lapses = until
        return Permit(self.generation, probe=True)

    def settle(self, permit: Permit, judgement: Judgement, rule: BreakerRule, now: int, u: float) -> Transition | None:
        """The call that `permit` was for has ended. Once for each permit; the change of state that follows, if any.

        A permit of another generation changes nothing: what began before a change says nothing about the time after it.
        """
        if permit.generation != self.generation:
            return None
        if self.state is CLOSED:
            why = self._count(judgement, rule, now)
            return None if why is None else self._open(why, rule, now, u)
        if self._lapses is None:
            return None
        self._lapses = None
        if judgement is NEUTRAL:
            self._unheard += now >= self.retry_at
            return self._close(Why.PROBATION, rule) if self._unheard >= UNHEARD else None
        if judgement is SUCCESS or judgement is ANSWERED:
            return self._close(Why.RECOVERED, rule)
        return self._open(Why.PROBE_FAILED, rule, now, u)

    def _count(self, judgement: Judgement, rule: BreakerRule, now: int) -> Why | None:
        """Why to open, if so. Only what went badly opens: an answer never does, even if it makes up the `min_requests`."""
        if judgement is NEUTRAL or judgement is ANSWERED:
            return None
        bad = judgement is not SUCCESS
        window = self._window
        if rule.rate_over is not None:
            window.add(rule.window, now, bad=bad)
        if not bad:
            self._row = self._hold = 0
            return None
        if judgement is FAILURE:
            self._row += 1
            if rule.consecutive is not None and self._row >= rule.consecutive:
                return Why.CONSECUTIVE
        # The quotient and not a product: 57 of 100 is the float that 0.57 is, and 0.57 · 100 is less than 57.
        if rule.rate_over is not None and window.every >= rule.min_requests and window.bad / window.every > rule.rate_over:
            return Why.RATE
        return None

    def _open(self, why: Why, rule: BreakerRule, now: int, u: float) -> Transition:
        """Open for twice as long as before, and up to half of that longer, so that dispatchers do not probe in step.

        A trial that failed before its time leaves the time as it is: it doubles for waiting in vain, and not for every call
        that a worker without a closed endpoint gets.
        """
        if why is not Why.PROBE_FAILED or now >= self.retry_at:
            self._hold = min(max(rule.open_initial, 2 * self._hold), rule.open_max)
            self.retry_at = now + min(self._hold + int(self._hold * u / 2), rule.open_max)
        self._unheard = 0
        return self._change(State.OPEN, why)

    def _close(self, why: Why, rule: BreakerRule) -> Transition:
        """Begin anew: nothing that was counted before counts again, unless it closes on probation.

        Probes that are cancelled by us each time (a quicker branch completes the request, a sibling's refusal ends it) say
        nothing, and could go on so for ever: a healthy endpoint would stay shut. So after some of them it is given a chance,
        and opens with the first failure in a row, for twice as long as before.
        """
        self._row = self._unheard = 0
        if why is Why.PROBATION:
            self._row = (rule.consecutive or 1) - 1
        else:
            self._hold = 0
        self._window.clear()
        change = self._change(CLOSED, why)
        self._permit = Permit(self.generation, probe=False)
        return change

    def _change(self, after: State, why: Why) -> Transition:
        change = self.last = Transition(self.state, after, why)
        self.state = after
        self.generation += 1
        self.transitions[after] += 1
        return change
