"""Any row of events into the attempts of a branch: what must never happen does not."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.model.policy import Hedge, Policy, Retry
from dispatcher.policies.attempts import Attempts, Decision, Denied, Finish, Launch, Wait
from dispatcher.policies.worth import Worth, worth
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import MS
from tests.kit.effort import tries

HEDGE, RETRY = AttemptKind.HEDGE, AttemptKind.RETRY
REFUSAL = Fault(FaultKind.BREAKER_OPEN, Code.UNAVAILABLE, sent=False)

faults = st.builds(
    Fault,
    st.sampled_from([FaultKind.WORKER_ERROR, FaultKind.LOCAL_TIMEOUT, FaultKind.STREAM_BROKEN, FaultKind.TOO_LARGE]),
    st.sampled_from([Code.UNAVAILABLE, Code.UNAVAILABLE, Code.INTERNAL, Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT]),
    sent=st.booleans(),
    retry_after=st.sampled_from([None, None, None, 0, 20, 5000, -1]),
)
outcomes = st.one_of(st.builds(Success, st.integers()), faults, faults, faults)
policies = st.builds(
    Policy,
    st.just("p"),
    st.one_of(st.none(), st.builds(Retry, max_attempts=st.integers(2, 5), on_timeout=st.booleans())),
    st.just(Hedge()),
)
steps = st.lists(
    st.tuples(
        st.integers(0, 60),  # ms that pass
        st.one_of(
            st.tuples(st.just("end"), st.integers(0, 3), outcomes, st.booleans()),
            st.tuples(st.just("part"), st.integers(0, 3), st.booleans()),
            st.tuples(st.just("refuse"), st.integers(0, 3)),
            st.tuples(st.just("deny")),
            st.tuples(st.just("hedge"), st.integers(0, 50)),
        ),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=25,
)


class Shell:
    """Does what it is told, at once, and remembers everything."""

    def __init__(self, policy: Policy, *, repeatable: bool) -> None:
        self.policy, self.repeatable = policy, repeatable
        self.now = 0
        self.deadline = 400 * MS
        self.plan = Attempts(policy, self.deadline, repeatable=repeatable)
        self.kinds: dict[int, AttemptKind] = {}
        self.ends: list[tuple[int, Outcome]] = []
        self.refused = 0
        self.finish: Finish | None = None
        self.shut = False  # nothing may be launched any more
        self.deny = False
        self.appended: int | None = None

    def run(self) -> None:
        """Ask until there is nothing to do at this time."""
        for _ in range(20):
            decision = self.plan.decide(self.now)
            self.check(decision)
            if not isinstance(decision, Launch):
                return
            if self.deny and decision.kind is not AttemptKind.FIRST:
                self.plan.denied(decision.kind, Denied.BUDGET)
                self.shut |= decision.kind is RETRY
                self.deny = False
                continue
            self.kinds[self.plan.launched(decision.kind, self.now)] = decision.kind
        raise AssertionError("it never comes to rest")

    def check(self, decision: Decision) -> None:
        """What holds for every decision."""
        if self.finish is not None:
            assert decision is self.finish or decision == self.finish
        match decision:
            case Launch(kind):
                assert not self.shut
                assert self.plan.count < self.policy.max_attempts
                assert self.deadline - self.now >= MIN_ATTEMPT
                assert self.appended is None
                assert kind is not HEDGE or (self.repeatable and self.plan.flying)
            case Wait(None):
                assert self.plan.flying
            case Wait(until):
                assert until is not None
                assert self.now < until <= self.deadline - MIN_ATTEMPT
            case Finish(outcome, number):
                self.finish = decision
                if number == -1:
                    assert not self.ends
                else:
                    assert (number, outcome) in self.ends
                if isinstance(outcome, Fault) and number >= 0:
                    fatal = worth(outcome, self.policy.retry, repeatable=self.repeatable) is Worth.FATAL
                    assert fatal or not self.plan.flying
                    kept = outcome.kind is FaultKind.STREAM_BROKEN  # parts that may be kept are more than a later failure
                    assert fatal or kept or number == self.ends[-1][0]

    def flying(self, which: int) -> int | None:
        """One of those that fly."""
        numbers = sorted(self.plan.flying)
        return numbers[which % len(numbers)] if numbers else None

    def happen(self, what: tuple[Any, ...], u: float) -> None:
        """Something happens to the attempts."""
        match what:
            case ("deny",):
                self.deny = True
            case ("hedge", after):
                self.plan.hedge_in(after * MS, self.now)
            case (str(kind), which, *rest) if (number := self.flying(which)) is not None and self.finish is None:
                if kind == "part":
                    assert self.plan.part(number, replace=rest[0])
                    self.appended = number if not rest[0] or self.appended == number else None
                elif kind == "refuse" and self.plan.committed != number:
                    self.plan.refused(number, self.kinds[number], REFUSAL)
                    self.shut |= self.kinds[number] is not HEDGE
                elif kind == "end":
                    self.end(number, rest[0], u, held=rest[1])

    def end(self, number: int, outcome: Outcome, u: float, *, held: bool) -> None:
        """An attempt is over."""
        self.ends.append((number, outcome))
        if isinstance(outcome, Success):
            self.shut = True
        else:
            decided = worth(outcome, self.policy.retry, repeatable=self.repeatable)
            self.shut |= decided is not Worth.AGAIN or (self.appended == number and not held)
            if held or self.appended != number:
                self.appended = None
        self.plan.ended(number, outcome, self.now, u, held=held)


@settings(max_examples=tries(600))
@given(policy=policies, repeatable=st.booleans(), row=steps)
def test_what_never_happens(policy: Policy, repeatable: bool, row: list[Any]) -> None:  # noqa: FBT001  (drawn)
    """Never more than max_attempts, never a launch after the end, one stable Finish with a real outcome, waits end in time."""
    shell = Shell(policy, repeatable=repeatable)
    shell.run()
    for passes, what, u in row:
        shell.now += passes * MS
        shell.happen(what, u)
        shell.run()
    while shell.plan.flying and shell.finish is None:
        shell.happen(("end", 0, Fault.internal(), False), 0.5)
        shell.run()
    for _ in range(6):
        if shell.finish is None:
            decision = shell.plan.decide(shell.now)
            assert isinstance(decision, Wait)
            assert decision.until is not None
            shell.now = decision.until
            shell.run()
            while shell.plan.flying and shell.finish is None:
                shell.happen(("end", 0, Fault.internal(), False), 0.5)
                shell.run()
    assert shell.finish is not None
    event(f"attempts {len(shell.kinds)}")
    event(f"finish {type(shell.finish.outcome).__name__}")


@settings(max_examples=tries(200))
@given(policy=policies, bad=faults, at=st.integers(0, 50), u=st.floats(0, 1, exclude_max=True), first=st.booleans())
def test_a_failure_never_beats_one_that_flies(policy: Policy, bad: Fault, at: int, u: float, first: bool) -> None:  # noqa: FBT001  (drawn)
    """With another attempt in flight only a fault that is about the request ends the branch."""
    plan = Attempts(policy, 10_000 * MS, repeatable=True)
    plan.launched(AttemptKind.FIRST, 0)
    plan.launched(HEDGE, 0)
    plan.ended(int(first), bad, at * MS, u)
    decision = plan.decide(at * MS)
    if worth(bad, policy.retry, repeatable=True) is Worth.FATAL:
        assert decision == Finish(bad, int(first))
    else:
        assert not isinstance(decision, Finish)
        good = Success(1)
        plan.ended(int(not first), good, (at + 1) * MS, u)
        assert plan.decide((at + 1) * MS) == Finish(good, int(not first))
