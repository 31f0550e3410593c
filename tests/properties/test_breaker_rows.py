"""Any row of events: the breaker does what a slow one does that remembers everything."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.model.policy import BreakerRule
from dispatcher.policies.breaker import UNHEARD, Breaker, Judgement, Permit, State, Why
from dispatcher.policies.window import BUCKETS
from tests.kit.effort import tries

J, S = Judgement, State

rules = st.builds(
    BreakerRule,
    consecutive=st.none() | st.integers(1, 4),
    rate_over=st.none() | st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.57, 1.0]),
    window=st.sampled_from([10, 40, 100]),
    min_requests=st.integers(1, 6),
    open_initial=st.integers(1, 20),
    open_max=st.integers(20, 60),
)
acquires = st.tuples(st.just("acquire"), st.integers(1, 30), st.booleans())
settles = st.tuples(st.just("settle"), st.integers(0, 5), st.sampled_from([J.FAILURE, J.FAILURE, *J]))
steps = st.lists(st.tuples(st.integers(0, 12), acquires | settles, st.floats(0, 1, exclude_max=True)), max_size=120)


class Slow:
    """The rules read off a list of all endings: (time, judgement) since it last closed. One permit is one object."""

    def __init__(self, rule: BreakerRule) -> None:
        self.rule = rule
        self.state = S.CLOSED
        self.ended: list[tuple[int, Judgement]] = []
        self.valid: set[int] = set()
        self.probe: tuple[int, int] | None = None  # number, lapses
        self.retry_at = 0
        self.waits = 0
        self.unheard = 0
        self.credit: list[Judgement] = []  # what stands before the row of endings

    def acquire(self, number: int, now: int, until: int, *, trial: bool) -> bool:
        """Whether there is a permit."""
        if self.state is S.CLOSED:
            self.valid.add(number)
            return True
        if (now < self.retry_at and not trial) or (self.probe is not None and now < self.probe[1]):
            return False
        self.state = S.HALF_OPEN
        self.valid, self.probe = {number}, (number, until)
        return True

    def settle(self, number: int, judgement: Judgement, now: int, u: float) -> None:
        """The call with that permit has ended."""
        if number not in self.valid:
            return
        self.valid.discard(number)
        if self.state is S.HALF_OPEN:
            self.probe = None
            if judgement in {J.SUCCESS, J.ANSWERED}:
                self.state, self.ended, self.waits, self.valid, self.credit, self.unheard = S.CLOSED, [], 0, set(), [], 0
            elif judgement is not J.NEUTRAL:
                self.open(now, u, again=True)
            elif now >= self.retry_at:
                self.unheard += 1
                if self.unheard == UNHEARD:
                    self.state, self.ended, self.valid, self.unheard = S.CLOSED, [], set(), 0
                    self.credit = [J.FAILURE] * ((self.rule.consecutive or 1) - 1)
            return
        if judgement is J.SUCCESS:
            self.waits = 0
        self.ended.append((now, judgement))
        if judgement in {J.FAILURE, J.LIMITED} and (self.row(judgement) or self.rate(now)):
            self.open(now, u, again=False)

    def row(self, judgement: Judgement) -> bool:
        """As many failures in a row as the rule says, the one that has just come included."""
        plain = [*self.credit, *(was for _, was in self.ended if was in {J.FAILURE, J.SUCCESS})]
        most = self.rule.consecutive
        return judgement is J.FAILURE and most is not None and plain[-most:] == [J.FAILURE] * most

    def rate(self, now: int) -> bool:
        """More than the share, of at least so many, of the bucket of `now` and the nine before it."""
        if self.rule.rate_over is None:
            return False
        width = self.rule.window // BUCKETS
        counted = [was for at, was in self.ended if at // width > now // width - BUCKETS and was not in {J.NEUTRAL, J.ANSWERED}]
        bad = sum(was is not J.SUCCESS for was in counted)
        return len(counted) >= self.rule.min_requests and Fraction(bad, len(counted)) > Fraction(str(self.rule.rate_over))

    def open(self, now: int, u: float, *, again: bool) -> None:
        """Open, for a time that doubles each time that was waited for in vain."""
        self.state, self.valid, self.unheard = S.OPEN, set(), 0
        if again and now < self.retry_at:
            return
        hold = min(self.rule.open_initial * 2**self.waits, self.rule.open_max)
        self.waits += 1
        self.retry_at = now + min(hold + int(hold * u / 2), self.rule.open_max)


@settings(max_examples=tries(300))
@given(rules, steps)
def test_it_does_what_a_slow_one_does(rule: BreakerRule, steps: list[tuple[int, tuple[str, int, object], float]]) -> None:
    """State, time of the next probe and every permit are those of a model that remembers all endings and all permits."""
    breaker, slow = Breaker(), Slow(rule)
    out: list[tuple[int, Permit]] = []
    now = 0
    for number, (gap, (what, size, more), u) in enumerate(steps):
        now += gap
        if what == "acquire":
            trial = bool(more)
            admits = breaker.admits(now)
            permit = breaker.acquire(now, now + size, trial=trial)
            assert (permit is not None) is slow.acquire(number, now, now + size, trial=trial)
            assert trial or (permit is not None) is admits
            if permit is not None:
                out.append((number, permit))
        elif out:
            assert isinstance(more, Judgement)
            given_to, permit = out.pop(min(size, len(out) - 1))
            breaker.settle(permit, more, rule, now, u)
            slow.settle(given_to, more, now, u)
        assert breaker.state is slow.state
        assert breaker.retry_at == slow.retry_at


@settings(max_examples=tries(300))
@given(rules, steps)
def test_what_always_holds(rule: BreakerRule, steps: list[tuple[int, tuple[str, int, object], float]]) -> None:
    """One probe at most, none before its time; an old permit changes nothing; below `min_requests` the rate never opens."""
    breaker = Breaker()
    out: list[tuple[Permit, int]] = []
    now = counted = 0
    for gap, (what, size, more), u in steps:
        now += gap
        before, generation, retry_at = breaker.state, breaker.generation, breaker.retry_at
        if what == "acquire":
            alive = [p for p, lapses in out if p.probe and p.generation == generation and lapses > now]
            permit = breaker.acquire(now, now + size, trial=bool(more))
            if permit is None:
                assert before is not S.CLOSED
                continue
            assert permit.probe is (before is not S.CLOSED)
            if permit.probe:
                assert not alive
                assert more or now >= retry_at
            out.append((permit, now + size))
        elif out:
            assert isinstance(more, Judgement)
            permit, _ = out.pop(min(size, len(out) - 1))
            change = breaker.settle(permit, more, rule, now, u)
            if permit.generation != generation:
                assert change is None
                assert (breaker.state, breaker.generation, breaker.retry_at) == (before, generation, retry_at)
                continue
            counted += more not in {J.NEUTRAL, J.ANSWERED}
            if change is not None:
                assert change == breaker.last
                assert change.why is not Why.RATE or counted >= rule.min_requests
                assert change.after is not S.OPEN or breaker.retry_at <= max(retry_at, now + rule.open_max)
                counted = 0
        assert breaker.generation >= generation


@given(rules, steps, st.integers(0, 100))
def test_it_never_sticks(rule: BreakerRule, steps: list[tuple[int, tuple[str, int, object], float]], after: int) -> None:
    """Whatever happened, and though nothing is settled any more: once every time is over it gives a permit that closes it."""
    breaker = Breaker()
    out: list[Permit] = []
    now = 0
    for gap, (what, size, more), u in steps:
        now += gap
        if what == "acquire":
            permit = breaker.acquire(now, now + size, trial=bool(more))
            if permit is not None:
                out.append(permit)
        elif out:
            assert isinstance(more, Judgement)
            breaker.settle(out.pop(min(size, len(out) - 1)), more, rule, now, u)
    now = max(now + 30, breaker.retry_at) + after
    assert breaker.admits(now)
    permit = breaker.acquire(now, now + 1)
    assert permit is not None
    breaker.settle(permit, J.SUCCESS, rule, now, 0.0)
    assert breaker.state is S.CLOSED
