"""Every state with every event, and that half-open cannot stick."""

import pytest

from dispatcher.model.policy import BreakerRule
from dispatcher.policies.breaker import UNHEARD, Breaker, Judgement, Permit, State, Transition, Why
from fanmesh.model.times import MS, SECOND

J, S, W = Judgement, State, Why
CLOSED, OPEN, HALF_OPEN = S.CLOSED, S.OPEN, S.HALF_OPEN

RULE = BreakerRule(consecutive=2, rate_over=None, open_initial=SECOND, open_max=60 * SECOND)
ONE = BreakerRule(consecutive=1, rate_over=None, open_initial=SECOND, open_max=60 * SECOND)
OPENED = 0
DUE = OPENED + SECOND
LAPSED = DUE + 500 * MS


def report(breaker: Breaker, judgement: Judgement, now: int = 0, rule: BreakerRule = RULE, u: float = 0.0) -> Transition | None:
    """One call of a closed breaker, begun and ended at `now`."""
    permit = breaker.acquire(now, now + SECOND)
    assert permit is not None
    return breaker.settle(permit, judgement, rule, now, u)


def opened() -> Breaker:
    """One that opened at OPENED for a second."""
    breaker = Breaker()
    report(breaker, J.FAILURE, OPENED, ONE)
    return breaker


def probed(until: int = LAPSED) -> tuple[Breaker, Permit]:
    """One that is half-open since DUE, and its probe."""
    breaker = opened()
    permit = breaker.acquire(DUE, until)
    assert permit is not None
    return breaker, permit


def made(situation: str) -> tuple[Breaker, Permit, Permit, int]:
    """A breaker in the situation, the permit given last, one of an earlier generation, and the time."""
    first = Breaker().acquire(0, 1)
    assert first is not None
    match situation:
        case "closed":
            breaker, probe = probed()
            breaker.settle(probe, J.SUCCESS, RULE, DUE, 0.0)
            report(breaker, J.FAILURE, DUE)
            own = breaker.acquire(DUE, LAPSED)
            assert own is not None
            return breaker, own, first, DUE
        case "open":
            return opened(), first, first, DUE - 1
        case "open, due":
            return opened(), first, first, DUE
        case "half-open, probe out":
            breaker, probe = probed()
            return breaker, probe, first, LAPSED - 1
        case "half-open, probe lapsed":
            breaker, probe = probed()
            return breaker, probe, first, LAPSED
        case _:
            breaker, probe = probed()
            breaker.settle(probe, J.NEUTRAL, RULE, DUE, 0.0)
            return breaker, probe, first, DUE


P, N = "probe", "nothing"
TABLE: dict[str, dict[str, tuple[State, str]]] = {
    "closed": {
        "acquire": (CLOSED, "permit"),
        "trial": (CLOSED, "permit"),
        "SUCCESS": (CLOSED, N),
        "FAILURE": (OPEN, "consecutive"),  # the second in a row
        "LIMITED": (CLOSED, N),
        "ANSWERED": (CLOSED, N),
        "NEUTRAL": (CLOSED, N),
    },
    "open": {
        "acquire": (OPEN, N),
        "trial": (HALF_OPEN, P),
        "SUCCESS": (OPEN, N),
        "FAILURE": (OPEN, N),
        "LIMITED": (OPEN, N),
        "ANSWERED": (OPEN, N),
        "NEUTRAL": (OPEN, N),
    },
    "open, due": {
        "acquire": (HALF_OPEN, P),
        "trial": (HALF_OPEN, P),
        "SUCCESS": (OPEN, N),
        "FAILURE": (OPEN, N),
        "LIMITED": (OPEN, N),
        "ANSWERED": (OPEN, N),
        "NEUTRAL": (OPEN, N),
    },
    "half-open, probe out": {
        "acquire": (HALF_OPEN, N),
        "trial": (HALF_OPEN, N),
        "SUCCESS": (CLOSED, "recovered"),
        "FAILURE": (OPEN, "probe_failed"),
        "LIMITED": (OPEN, "probe_failed"),
        "ANSWERED": (CLOSED, "recovered"),
        "NEUTRAL": (HALF_OPEN, N),
    },
    "half-open, probe lapsed": {
        "acquire": (HALF_OPEN, P),
        "trial": (HALF_OPEN, P),
        "SUCCESS": (CLOSED, "recovered"),  # late, but nobody has taken its place
        "FAILURE": (OPEN, "probe_failed"),
        "LIMITED": (OPEN, "probe_failed"),
        "ANSWERED": (CLOSED, "recovered"),
        "NEUTRAL": (HALF_OPEN, N),
    },
    "half-open, no probe": {
        "acquire": (HALF_OPEN, P),
        "trial": (HALF_OPEN, P),
        "SUCCESS": (HALF_OPEN, N),  # settled twice
        "FAILURE": (HALF_OPEN, N),
        "LIMITED": (HALF_OPEN, N),
        "ANSWERED": (HALF_OPEN, N),
        "NEUTRAL": (HALF_OPEN, N),
    },
}
ROWS = [(situation, event) for situation, events in TABLE.items() for event in events]


def happen(breaker: Breaker, event: str, permit: Permit, now: int) -> str:
    """What comes of the event, as a word."""
    if event in {"acquire", "trial"}:
        given = breaker.acquire(now, now + SECOND, trial=event == "trial")
        return N if given is None else P if given.probe else "permit"
    change = breaker.settle(permit, J[event], RULE, now, 0.0)
    return N if change is None else change.why.value


@pytest.mark.parametrize(("situation", "event"), ROWS)
def test_each_event_in_each_state(situation: str, event: str) -> None:
    """The table of the state machine, complete."""
    breaker, own, _, now = made(situation)
    before, entered = breaker.state, dict(breaker.transitions)
    after, word = TABLE[situation][event]
    assert happen(breaker, event, own, now) == word
    assert breaker.state is after
    if before is not after:
        assert breaker.last is not None
        assert breaker.last[:2] == (before, after)
        entered[after] += 1
    assert breaker.transitions == entered


@pytest.mark.parametrize("judgement", J)
@pytest.mark.parametrize("situation", TABLE)
def test_a_permit_of_an_earlier_generation_changes_nothing(situation: str, judgement: Judgement) -> None:
    """A call begun before a change of state does not touch the state after it, whatever became of it."""
    breaker, _, old, now = made(situation)
    before = (breaker.state, breaker.generation, breaker.retry_at, breaker.admits(now))
    assert breaker.settle(old, judgement, ONE, now, 0.0) is None
    assert (breaker.state, breaker.generation, breaker.retry_at, breaker.admits(now)) == before


@pytest.mark.parametrize("situation", TABLE)
def test_admits_says_what_acquire_does(situation: str) -> None:
    """`admits` is true exactly if `acquire` gives a permit, and changes nothing."""
    breaker, _, _, now = made(situation)
    admits, state, generation = breaker.admits(now), breaker.state, breaker.generation
    assert (breaker.state, breaker.generation) == (state, generation)
    assert (breaker.acquire(now, now + 1) is not None) is admits


def test_a_probe_that_was_cancelled_does_not_keep_others_out() -> None:
    """Half-open cannot stick: the next call is the next probe, and it decides."""
    breaker, probe = probed()
    for _ in range(UNHEARD - 1):
        breaker.settle(probe, J.NEUTRAL, RULE, DUE, 0.0)
        again = breaker.acquire(DUE, LAPSED)
        assert again is not None
        assert again.probe
        probe = again
    assert breaker.settle(probe, J.SUCCESS, RULE, DUE, 0.0) == (HALF_OPEN, CLOSED, W.RECOVERED)


def test_probes_that_say_nothing_end_in_probation() -> None:
    """The third in a row that we cancel closes the breaker: a healthy endpoint must not stay shut because nobody waits."""
    breaker, probe = probed()
    for _ in range(UNHEARD - 1):
        assert breaker.settle(probe, J.NEUTRAL, RULE, DUE, 0.0) is None
        again = breaker.acquire(DUE, LAPSED)
        assert again is not None
        probe = again
    assert breaker.settle(probe, J.NEUTRAL, RULE, DUE, 0.0) == (HALF_OPEN, CLOSED, W.PROBATION)


def on_probation() -> Breaker:
    """One that has closed so."""
    breaker, probe = probed()
    for _ in range(UNHEARD):
        breaker.settle(probe, J.NEUTRAL, RULE, DUE, 0.0)
        again = breaker.acquire(DUE, LAPSED)
        assert again is not None
        probe = again
    return breaker


def test_the_first_failure_on_probation_opens_for_longer() -> None:
    """One failure is enough, and the open time goes on doubling: nothing was proved."""
    breaker = on_probation()
    permit = breaker.acquire(DUE, LAPSED)
    assert permit is not None
    change = breaker.settle(permit, J.FAILURE, RULE, DUE, 0.0)
    assert change == (CLOSED, OPEN, W.CONSECUTIVE)
    assert breaker.retry_at == DUE + 2 * RULE.open_initial


def test_a_success_on_probation_clears_it() -> None:
    """An answer is a proof: after it the breaker opens as late, and for as short a time, as a fresh one."""
    breaker = on_probation()
    permit = breaker.acquire(DUE, LAPSED)
    assert permit is not None
    breaker.settle(permit, J.SUCCESS, RULE, DUE, 0.0)
    changes = [breaker.settle(permit, J.FAILURE, RULE, DUE, 0.0) for _ in range(RULE.consecutive or 0)]
    assert changes[:-1] == [None] * (len(changes) - 1)
    assert breaker.retry_at == DUE + RULE.open_initial


def test_trials_before_their_time_that_say_nothing_do_not_count() -> None:
    """A worker without a closed endpoint is tried early; such a trial, cancelled, is no reason to let everybody in."""
    breaker, _ = probed()
    opened = Breaker()
    for _ in range(RULE.consecutive or 0):
        permit = opened.acquire(0, LAPSED)
        assert permit is not None
        opened.settle(permit, J.FAILURE, RULE, 0, 0.0)
    for _ in range(2 * UNHEARD):
        trial = opened.acquire(1, LAPSED, trial=True)
        assert trial is not None
        opened.settle(trial, J.NEUTRAL, RULE, 1, 0.0)
    assert opened.state is HALF_OPEN
    assert breaker.state is HALF_OPEN


def test_a_probe_that_nobody_settles_lapses_at_its_deadline() -> None:
    """Until then it is alone; the one that takes its place counts, and the lapsed one does not any more."""
    breaker, lost = probed()
    assert breaker.acquire(LAPSED - 1, LAPSED + SECOND) is None
    second = breaker.acquire(LAPSED, LAPSED + SECOND)
    assert second is not None
    assert breaker.settle(lost, J.FAILURE, RULE, LAPSED, 0.0) is None
    assert breaker.acquire(LAPSED, LAPSED + SECOND) is None
    assert breaker.settle(second, J.SUCCESS, RULE, LAPSED, 0.0) == (HALF_OPEN, CLOSED, W.RECOVERED)
