"""Every phase with every thing that can happen in it, on times in ms."""

import pytest

from dispatcher.policies.breaker import FAILURES, Judgement
from dispatcher.policies.failover import Decision, Failover, FallBack, Phase, Wait, Why, judge
from fanmesh.model.fault import Code
from fanmesh.model.times import MS

STOP, END = 1000 * MS, 1040 * MS
RESULT_BY = STOP + 20 * MS
"""Half the reserve after stop."""


def sent(failover: Failover, seq: int, now: int) -> None:
    """The transport has taken an event at once."""
    failover.sending(seq, now)
    failover.sent(seq, now)


def made(phase: Phase) -> Failover:
    """One in that phase, with event 1 sent at 0 and, but for OPEN, judged at 500 ms."""
    failover = Failover(STOP, END)
    sent(failover, 1, 0)
    if phase is not Phase.OPEN:
        failover.judged(500 * MS)
    if phase is Phase.OVER:
        failover.over()
    return failover


TABLE: list[tuple[Phase, str, Phase, Decision]] = [
    (Phase.OPEN, "nothing", Phase.OPEN, Wait(250 * MS)),
    (Phase.OPEN, "sending", Phase.OPEN, Wait(250 * MS)),
    (Phase.OPEN, "sent", Phase.OPEN, Wait(250 * MS)),
    (Phase.OPEN, "acked", Phase.OPEN, Wait(RESULT_BY)),
    (Phase.OPEN, "judged", Phase.JUDGED, Wait(30 * MS)),
    (Phase.OPEN, "over", Phase.OVER, None),
    (Phase.JUDGED, "nothing", Phase.JUDGED, Wait(520 * MS)),
    (Phase.JUDGED, "sending", Phase.JUDGED, Wait(520 * MS)),
    (Phase.JUDGED, "sent", Phase.JUDGED, Wait(520 * MS)),
    (Phase.JUDGED, "acked", Phase.JUDGED, Wait(520 * MS)),
    (Phase.JUDGED, "judged", Phase.JUDGED, Wait(520 * MS)),
    (Phase.JUDGED, "over", Phase.OVER, None),
    (Phase.OVER, "nothing", Phase.OVER, None),
    (Phase.OVER, "sending", Phase.OVER, None),
    (Phase.OVER, "sent", Phase.OVER, None),
    (Phase.OVER, "acked", Phase.OVER, None),
    (Phase.OVER, "judged", Phase.OVER, None),
    (Phase.OVER, "over", Phase.OVER, None),
]


@pytest.mark.parametrize(("before", "event", "after", "decision"), TABLE, ids=[f"{row[0].name}-{row[1]}" for row in TABLE])
def test_each_event_in_each_phase(before: Phase, event: str, after: Phase, decision: Decision) -> None:
    """The table of the state machine, complete: what happens at 10 ms, and what is to be done then."""
    failover = made(before)
    match event:
        case "sending":
            failover.sending(2, 10 * MS)
        case "sent":
            failover.sent(2, 10 * MS)
        case "acked":
            failover.acked(1)
        case "judged":
            failover.judged(10 * MS)
        case "over":
            failover.over()
    assert failover.phase is after
    assert failover.decide(10 * MS) == decision


@pytest.mark.parametrize("taken", [True, False], ids=["not acknowledged", "not taken"])
@pytest.mark.parametrize(("at", "limit"), [(0, 250), (40, 250), (440, 150), (640, 100), (940, 100)])
def test_silence_is_a_quarter_of_what_remained_within_100_and_250_ms(at: int, limit: int, *, taken: bool) -> None:
    """An event may be in hand, or unacknowledged, for clamp(remaining / 4, 100 ms, 250 ms), and not 1 ns longer."""
    failover = Failover(1040 * MS, 1040 * MS)
    failover.sending(7, at * MS)
    if taken:
        failover.sent(7, at * MS)
    due = min(at + limit, 1040) * MS
    assert failover.decide(due - 1) == Wait(due)
    assert failover.decide(due) == FallBack(Why.SILENT if due < 1040 * MS else Why.NO_RESULT)


def test_the_clock_starts_anew_when_the_transport_has_taken_an_event() -> None:
    """A large one may take its time to be written; what is not yet in the writer's hand has no clock at all."""
    failover = Failover(STOP, END)
    assert not failover.waits
    failover.sending(1, 0)
    assert failover.waits
    assert failover.decide(0) == Wait(250 * MS)
    failover.sent(1, 200 * MS)
    assert failover.decide(250 * MS) == Wait(410 * MS)
    assert failover.decide(410 * MS) == FallBack(Why.SILENT)


def test_the_oldest_unacknowledged_event_counts() -> None:
    """An acknowledgement of the first does not excuse the second, and one of an older event changes nothing."""
    failover = Failover(STOP, END)
    sent(failover, 1, 0)
    sent(failover, 2, 30 * MS)
    failover.sending(3, 40 * MS)
    failover.acked(1)
    failover.acked(1)
    assert failover.decide(0) == Wait(280 * MS)
    failover.acked(2)
    assert failover.decide(0) == Wait(290 * MS)
    failover.acked(9)
    assert not failover.waits
    assert failover.decide(STOP) == Wait(RESULT_BY)


def test_an_acknowledgement_may_come_before_the_writer_has_heard_that_its_event_was_taken() -> None:
    """Then nothing is owed for it, neither while it is in hand nor afterwards."""
    failover = Failover(STOP, END)
    failover.sending(4, 0)
    failover.acked(4)
    assert not failover.waits
    failover.sent(4, 10 * MS)
    assert not failover.waits
    assert failover.decide(STOP) == Wait(RESULT_BY)


@pytest.mark.parametrize(
    ("why", "code", "fair", "judgement"),
    [
        (None, None, True, Judgement.SUCCESS),
        (Why.SILENT, None, True, Judgement.FAILURE),
        (Why.MALFORMED, None, True, Judgement.FAILURE),
        (Why.NO_RESULT, None, True, Judgement.FAILURE),
        (Why.NO_RESULT, None, False, Judgement.NEUTRAL),
        (Why.LOG_FULL, None, True, Judgement.NEUTRAL),
        (Why.BROKEN, None, True, Judgement.FAILURE),
        *[(Why.BROKEN, code, True, Judgement.FAILURE if code in FAILURES else Judgement.NEUTRAL) for code in Code if code],
        (Why.UNREACHABLE, Code.UNAVAILABLE, True, Judgement.FAILURE),
    ],
)
def test_what_an_end_says_of_the_aggregator(why: Why | None, code: Code | None, judgement: Judgement, *, fair: bool) -> None:
    """What it refuses, and what nobody could have done in time, is no failure of it: else one plan would shut it for all."""
    assert judge(why, code=code, fair=fair) is judgement


@pytest.mark.parametrize(("reserve", "fair"), [(0, False), (199, False), (200, True)])
def test_a_fair_time_for_a_result_is_that_for_an_acknowledgement(reserve: int, *, fair: bool) -> None:
    """Half of the reserve is 100 ms at least."""
    assert Failover(STOP, STOP + reserve * MS).fair is fair


def test_a_result_is_due_half_the_reserve_after_stop() -> None:
    """Everything acknowledged and no result: the other half of the reserve is for the replay."""
    failover = Failover(STOP, END)
    assert failover.decide(RESULT_BY - 1) == Wait(RESULT_BY)
    assert failover.decide(RESULT_BY) == FallBack(Why.NO_RESULT)


def test_a_result_is_due_half_the_reserve_after_the_verdict() -> None:
    """A verdict without a result is as good as none; a verdict after stop does not move the limit out."""
    early, late = Failover(STOP, END), Failover(STOP, END)
    early.judged(100 * MS)
    late.judged(RESULT_BY - 1)
    assert early.decide(120 * MS) == FallBack(Why.NO_RESULT)
    assert late.decide(RESULT_BY) == FallBack(Why.NO_RESULT)


def test_without_a_reserve_the_result_is_due_at_stop() -> None:
    """`merge_reserve: 0` leaves no time to wait, only the replay."""
    assert Failover(END, END).decide(END) == FallBack(Why.NO_RESULT)


def test_without_a_reserve_the_result_may_still_follow_the_verdict() -> None:
    """The verdict and its result are two messages: between them no fallback, unless stop is there."""
    failover = Failover(END, END)
    failover.judged(100 * MS)
    assert failover.decide(100 * MS) == Wait(105 * MS)
    assert failover.decide(105 * MS) == FallBack(Why.NO_RESULT)


def test_the_limit_on_acknowledgements_can_be_switched_off() -> None:
    """Then only the result is waited for."""
    failover = Failover(STOP, END, acks=False)
    sent(failover, 1, 0)
    failover.sending(2, 0)
    assert not failover.waits
    assert failover.decide(STOP) == Wait(RESULT_BY)
