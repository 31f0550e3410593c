"""What each signal means at each value, when a stage is left, and who is sent away in it."""

import pytest

from dispatcher.model.policy import OverloadRule, Thresholds
from dispatcher.policies.overload import HOLD, PUSHBACK, Overload, Refused, Stage, Why, admit, pushback_of, stage_of
from fanmesh.model.times import MS, SECOND

RULE = OverloadRule(max_in_flight=10, memory_limit=1000)
"""Lag 50, 100, 250 ms; memory 80, 90, 95 % of 1000 bytes."""

OFF = OverloadRule(lag=Thresholds(), memory=Thresholds(), memory_limit=1000)

CALM, HEDGES, OPTIONAL, REJECTING, CLOSED = Stage
STEP = 10 * MS


@pytest.mark.parametrize(
    ("lag", "memory", "stage"),
    [
        (0, 0, CALM),
        (50 * MS - 1, 799, CALM),
        (50 * MS, 0, HEDGES),
        (100 * MS - 1, 0, HEDGES),
        (100 * MS, 0, OPTIONAL),
        (250 * MS - 1, 0, OPTIONAL),
        (250 * MS, 0, REJECTING),
        (500 * MS - 1, 0, REJECTING),
        (500 * MS, 0, CLOSED),
        (0, 800, HEDGES),
        (0, 900, OPTIONAL),
        (0, 950, REJECTING),
        (0, 974, REJECTING),
        (0, 975, CLOSED),
        (50 * MS, 950, REJECTING),
        (250 * MS, 800, REJECTING),
    ],
)
def test_the_worse_signal_counts(lag: int, memory: int, stage: Stage) -> None:
    """Each threshold is the first value that means its stage; of two signals the worse decides."""
    assert stage_of(RULE, lag, memory) is stage


def test_a_threshold_that_is_off_means_nothing() -> None:
    """None takes one meaning away and leaves the others; without any the process is calm whatever happens."""
    only = OverloadRule(lag=Thresholds(None, None, 250.0 * MS))
    assert [stage_of(only, lag * MS, 0) for lag in (249, 250, 500)] == [CALM, REJECTING, CLOSED]
    assert stage_of(OFF, 10 * SECOND, 10_000) is CALM


def test_memory_without_a_limit_is_not_looked_at() -> None:
    """A share needs a whole."""
    assert stage_of(OverloadRule(), 0, 2**60) is CALM


def test_a_reject_above_the_limit_still_comes_before_the_end() -> None:
    """Whatever the threshold, CRITICAL requests are never refused before SHEDDABLE ones."""
    rule = OverloadRule(memory=Thresholds(reject=1.5), memory_limit=1000)
    assert [stage_of(rule, 0, used) for used in (1499, 1500)] == [CALM, CLOSED]


STAGES = [(CALM, 0), (HEDGES, 50), (OPTIONAL, 100), (REJECTING, 250), (CLOSED, 500)]


def at(stage: Stage, lag: int) -> Overload:
    """A process in this stage, whose lag is that since 0."""
    overload = Overload()
    assert overload.look(RULE, lag * MS, 0, 0) is stage
    return overload


@pytest.mark.parametrize(("before", "lag"), STAGES)
@pytest.mark.parametrize(("asked", "value"), STAGES)
def test_a_stage_is_entered_at_once_and_left_after_a_while(before: Stage, lag: int, asked: Stage, value: int) -> None:
    """The table of the state machine: upwards at once, downwards one step, and only when HOLD has passed."""
    overload = at(before, lag)
    assert overload.look(RULE, value * MS, 0, HOLD - 1) is max(before, asked)
    overload = at(before, lag)
    assert overload.look(RULE, value * MS, 0, HOLD) is (asked if asked >= before else Stage(before - 1))


def test_a_stage_is_held_from_just_below_its_threshold() -> None:
    """Between 80 % of the threshold and the threshold nothing changes, however long it lasts; below it the stage ends."""
    overload = at(OPTIONAL, 100)
    for turn in range(1, 50):
        assert overload.look(RULE, 80 * MS, 0, turn * HOLD) is OPTIONAL
    assert overload.look(RULE, 80 * MS - 1, 0, 50 * HOLD) is HEDGES


def test_memory_is_held_more_closely() -> None:
    """Memory's thresholds lie close together, so a stage of it is left at 95 % of its threshold."""
    overload = Overload()
    overload.look(RULE, 0, 950, 0)
    assert overload.look(RULE, 0, 903, HOLD) is REJECTING
    assert overload.look(RULE, 0, 902, 2 * HOLD) is OPTIONAL


def test_the_way_down_is_step_by_step() -> None:
    """From the worst to calm in as many pauses as there are stages; a signal that flickers starts the pause again."""
    overload = at(CLOSED, 500)
    seen = [overload.look(RULE, 0, 0, turn * HOLD) for turn in range(1, 5)]
    assert seen == [REJECTING, OPTIONAL, HEDGES, CALM]
    overload = at(HEDGES, 50)
    overload.look(RULE, 0, 0, HOLD // 2)
    overload.look(RULE, 50 * MS, 0, HOLD - 1)
    assert overload.look(RULE, 0, 0, HOLD) is HEDGES


def test_one_signals_past_does_not_hold_the_other() -> None:
    """Memory that was never over a threshold does not keep a stage that lag has brought about."""
    overload = Overload()
    overload.look(RULE, 50 * MS, 790, 0)
    assert overload.look(RULE, 0, 790, HOLD) is CALM


def test_the_signal_behind_a_stage_is_known() -> None:
    """Memory if it asks for as much as lag does: it does not get better by itself."""
    overload = Overload()
    overload.look(RULE, 250 * MS, 900, 0)
    assert overload.why is Why.LAG
    overload.look(RULE, 250 * MS, 950, 1)
    assert overload.why is Why.MEMORY


ADMISSION = [
    (CALM, 0, None, None),
    (CALM, 7, None, None),
    (CALM, 8, Why.MAX_IN_FLIGHT, None),
    (CALM, 9, Why.MAX_IN_FLIGHT, None),
    (CALM, 10, Why.MAX_IN_FLIGHT, Why.MAX_IN_FLIGHT),
    (HEDGES, 7, None, None),
    (OPTIONAL, 7, None, None),
    (OPTIONAL, 10, Why.MAX_IN_FLIGHT, Why.MAX_IN_FLIGHT),
    (REJECTING, 0, Why.LAG, None),
    (REJECTING, 10, Why.LAG, Why.MAX_IN_FLIGHT),
    (CLOSED, 0, Why.LAG, Why.LAG),
]


@pytest.mark.parametrize(("stage", "in_flight", "sheddable", "critical"), ADMISSION)
def test_who_is_sent_away(stage: Stage, in_flight: int, sheddable: Why | None, critical: Why | None) -> None:
    """SHEDDABLE from 80 % of max_in_flight on and in REJECTING, CRITICAL only at the maximum and in CLOSED."""
    for important, why in ((False, sheddable), (True, critical)):
        refused = admit(RULE, stage, Why.LAG, in_flight, 0.0, critical=important)
        assert (refused.why if refused else None) is why


def test_without_a_maximum_only_the_stage_counts() -> None:
    """None = no limit on requests in flight."""
    assert admit(OverloadRule(), OPTIONAL, Why.LAG, 10**6, 0.5, critical=False) is None


def test_a_maximum_of_one() -> None:
    """The first request of any kind comes in, the second of none."""
    rule = OverloadRule(max_in_flight=1)
    assert [admit(rule, CALM, Why.LAG, 0, 0.0, critical=important) for important in (False, True)] == [None, None]
    assert admit(rule, CALM, Why.LAG, 1, 0.0, critical=True) == Refused(Why.MAX_IN_FLIGHT, 100)


@pytest.mark.parametrize("stage", Stage)
def test_the_pushback_grows_and_is_jittered(stage: Stage) -> None:
    """At least 100 ms, at most twice the least of its stage, and no stage's longer than the next one's."""
    low, high = pushback_of(stage, 0.0), pushback_of(stage, 0.999_999)
    assert low == PUSHBACK[stage] >= 100
    assert low < high < 2 * low
    assert stage is CLOSED or high <= PUSHBACK[stage + 1]
