"""Every state of a branch's attempts with every event, on times in ms; then each rule by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.model.policy import Backoff, Hedge, Policy, Retry
from dispatcher.policies.attempts import Attempts, Decision, Denied, Finish, Launch, Wait
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import MS, SECOND

FIRST, RETRY, HEDGE = AttemptKind.FIRST, AttemptKind.RETRY, AttemptKind.HEDGE
K, D = FaultKind, Denied
POLICY = Policy("p", Retry(), Hedge())
OK = Success(1)
NOW = 30


def fault(
    code: Code = Code.UNAVAILABLE, *, after: int | None = None, kind: FaultKind = K.WORKER_ERROR, sent: bool = True
) -> Fault:
    """A fault; UNAVAILABLE is the one that is retried."""
    return Fault(kind, code, sent=sent, retry_after=after)


AGAIN, AWAIT, FATAL = fault(), fault(Code.INTERNAL), fault(Code.INVALID_ARGUMENT)
PEACE, STOP = fault(after=100), fault(after=-1)
OUTCOMES: dict[str, Outcome] = {"ok": OK, "again": AGAIN, "await": AWAIT, "fatal": FATAL, "peace": PEACE, "stop": STOP}


def attempts(policy: Policy = POLICY, *, deadline: int = 1000, repeatable: bool = True) -> Attempts:
    """Those of a branch, on a deadline in ms."""
    return Attempts(policy, deadline * MS, repeatable=repeatable)


def first(policy: Policy = POLICY, *, hedge: int | None = None, deadline: int = 1000, repeatable: bool = True) -> Attempts:
    """The first attempt flies since 0; `hedge`: after so many ms."""
    plan = attempts(policy, deadline=deadline, repeatable=repeatable)
    assert plan.decide(0) == Launch(FIRST)
    assert plan.launched(FIRST, 0) == 0
    if hedge is not None:
        plan.hedge_in(hedge * MS, 0)
    return plan


def beside() -> Attempts:
    """A hedge flies since 20 beside the first attempt, and another one is due at 60."""
    plan = first(hedge=40)
    assert plan.launched(HEDGE, 20 * MS) == 1
    return plan


def end(plan: Attempts, number: int, outcome: Outcome, at: int, u: float = 0.5, *, held: bool = False) -> Attempts:
    """An attempt is over at `at` ms."""
    plan.ended(number, outcome, at * MS, u, held=held)
    return plan


def committed(*, replace: bool) -> Attempts:
    """A part of the first attempt has been taken."""
    plan = first(hedge=40)
    assert plan.part(0, replace=replace)
    return plan


STATES: dict[str, Callable[[], Attempts]] = {
    "new": attempts,
    "flying": first,
    "hedgeable": lambda: first(hedge=40),
    "beside": beside,
    "backoff": lambda: end(first(hedge=40), 0, AGAIN, 10),
    "peace": lambda: end(beside(), 0, PEACE, 25),
    "closed": lambda: end(beside(), 0, STOP, 25),
    "committed": lambda: committed(replace=False),
    "replacing": lambda: committed(replace=True),
    "won": lambda: end(first(hedge=40), 0, OK, 10),
    "spent": lambda: end(first(hedge=40), 0, AWAIT, 10),
}

TABLE = {  # what happens to attempt 0 at 30 ms, or to all, and what is to be done then; a number is a Wait until then, in ms
    # look, ok, again, await, fatal, peace, stop, append, replace, no_hedge, no_retry, late
    "new":       (FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, "none", "none"),
    "flying":    (None , "0"  , 55   , "0"  , "0"  , 155  , "0"  , None , None , None , None  , None),
    "hedgeable": (40   , "0"  , 55   , "0"  , "0"  , 155  , "0"  , None , None , None , None  , None),
    "beside":    (60   , "0"  , RETRY, None , "0"  , 155  , None , None , None , None , None  , None),
    "backoff":   (35   , 35   , 35   , 35   , 35   , 35   , 35   , 35   , 35   , 35   , "0"   , "0"),
    "peace":     (150  , 150  , 150  , 150  , 150  , 150  , 150  , 150  , 150  , 150  , None  , None),
    "closed":    (None , None , None , None , None , None , None , None , None , None , None  , None),
    "committed": (None , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , None , None , None , None  , None),
    "replacing": (None , "0"  , 55   , "0"  , "0"  , 155  , "0"  , None , None , None , None  , None),
    "won":       ("0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"   , "0"),
    "spent":     ("0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"  , "0"   , "0"),
}  # fmt: skip
EVENTS = ("look", "ok", "again", "await", "fatal", "peace", "stop", "append", "replace", "no_hedge", "no_retry", "late")

SECOND_TABLE = {  # what happens to attempt 1, the hedge
    #          ok    again   await  fatal  peace  stop  append  replace  refused
    "beside": ("1",  RETRY,  None,  "1",   155,   None, None,   None,    None),
    "peace":  ("1",  150,    "1",   "1",   155,   "1",  None,   None,    150),
    "closed": ("1",  "1",    "1",   "1",   "1",   "1",  None,   None,    "0"),
}  # fmt: skip
SECOND_EVENTS = ("ok", "again", "await", "fatal", "peace", "stop", "append", "replace", "refused")


def told(decision: Decision) -> object:
    """A decision as it stands in the tables."""
    match decision:
        case Launch(kind):
            return kind
        case Wait(until):
            return None if until is None else until // MS
        case Finish(_, -1):
            return "none"
        case Finish(_, number):
            return str(number)


def happen(plan: Attempts, number: int, event: str) -> int:
    """Let it happen at 30 ms; the time at which to ask, in ms."""
    match event:
        case "append" | "replace":
            plan.part(number, replace=event == "replace")
        case "no_hedge" | "no_retry":
            plan.denied(HEDGE if event == "no_hedge" else RETRY, D.BUDGET)
        case "refused":
            plan.refused(number, HEDGE, fault(kind=K.BREAKER_OPEN, sent=False))
        case "late":
            return 996
        case "look":
            pass
        case _:
            end(plan, number, OUTCOMES[event], NOW)
    return NOW


ROWS = [(state, 0, event, what) for state, row in TABLE.items() for event, what in zip(EVENTS, row, strict=True)]
ROWS += [(state, 1, event, what) for state, row in SECOND_TABLE.items() for event, what in zip(SECOND_EVENTS, row, strict=True)]


@pytest.mark.parametrize(("state", "number", "event", "expected"), ROWS, ids=[f"{row[0]}-{row[2]}{row[1]}" for row in ROWS])
def test_each_event_in_each_state(state: str, number: int, event: str, expected: object) -> None:
    """The table of the state machine, complete; and asked twice it says the same."""
    plan = STATES[state]()
    at = happen(plan, number, event) * MS
    assert told(plan.decide(at)) == expected
    assert told(plan.decide(at)) == expected


# ---------------------------------------------------------------------- which outcome counts


def test_the_first_good_answer_wins() -> None:
    """A failure beside it changes nothing, neither before nor after, and nor does a second good answer."""
    plan = end(end(end(beside(), 0, AWAIT, 30), 1, OK, 40), 0, OK, 41)
    assert plan.decide(50 * MS) == Finish(OK, 1)
    late = end(end(beside(), 1, Success("hedge"), 30), 0, Success("first"), 30)
    assert late.decide(30 * MS) == Finish(Success("hedge"), 1)


def test_the_last_failure_counts() -> None:
    """Of several failures the branch has the last one, and never an error of its own about budgets or limits."""
    plan = end(end(beside(), 0, AWAIT, 30), 1, STOP, 40)
    assert plan.decide(50 * MS) == Finish(STOP, 1)
    denied = end(first(), 0, AGAIN, 10)
    denied.denied(RETRY, D.BUDGET)
    assert (denied.decide(10 * MS), denied.why) == (Finish(AGAIN, 0), D.BUDGET)


def test_a_fatal_fault_cancels_a_healthy_attempt() -> None:
    """What is about the request is the outcome at once: every other attempt would end alike."""
    plan = end(beside(), 0, FATAL, 30)
    assert plan.decide(30 * MS) == Finish(FATAL, 0)
    assert plan.flying == {1}


def test_no_time_for_a_first_attempt() -> None:
    """Less than 5 ms: nothing is launched, and that is the outcome; with 5 ms it is."""
    assert attempts(deadline=5).decide(0) == Launch(FIRST)
    plan = attempts(deadline=5)
    decision = plan.decide(1)
    assert isinstance(decision, Finish)
    assert isinstance(decision.outcome, Fault)
    assert (decision.number, decision.outcome.kind, decision.outcome.sent, plan.why) == (-1, K.NO_TIME, False, D.NO_TIME)
    assert plan.decide(1) is decision


# ---------------------------------------------------------------------- how many


def test_a_min_time_is_asked_of_further_attempts() -> None:
    """Whether a first one is worth it has been asked when the branch's turn came; each further one needs all of it again."""
    plan = Attempts(POLICY, 100 * MS, repeatable=True, least=50 * MS)
    assert plan.decide(60 * MS) == Launch(FIRST)
    plan.launched(FIRST, 60 * MS)
    assert told(end(plan, 0, AGAIN, 61).decide(61 * MS)) == "0"
    assert plan.why is D.NO_TIME


def test_max_attempts_counts_the_first_one() -> None:
    """Three attempts: the third failure is the outcome."""
    plan = end(first(), 0, AGAIN, 0, 0.0)
    for number in (1, 2):
        assert plan.decide(number * MS) == Launch(RETRY)
        assert plan.launched(RETRY, number * MS) == number
        end(plan, number, AGAIN, number, 0.0)
    assert (plan.decide(3 * MS), plan.count, plan.why) == (Finish(AGAIN, 2), 3, D.MAX_ATTEMPTS)


def test_retries_and_hedges_share_the_maximum() -> None:
    """A retry and a hedge beside the first: there is no fourth, whether it would be a retry or a hedge."""
    plan = end(beside(), 0, AGAIN, 30)
    assert plan.decide(30 * MS) == Launch(RETRY)
    plan.launched(RETRY, 30 * MS)
    assert plan.decide(900 * MS) == Wait(None)
    end(plan, 1, AGAIN, 40)
    assert (plan.decide(40 * MS), plan.why) == (Wait(None), D.MAX_ATTEMPTS)


def test_a_hedge_alone_makes_two() -> None:
    """Without a retry policy there is one hedge, and after a failure nothing is launched."""
    alone = Policy("h", None, Hedge())
    plan = first(alone, hedge=10)
    plan.launched(HEDGE, 10 * MS)
    assert plan.decide(20 * MS) == Wait(None)
    assert end(first(alone, hedge=10), 0, AGAIN, 5).decide(10 * MS) == Finish(AGAIN, 0)


def test_a_refused_attempt_is_none() -> None:
    """Breaker, limit and rate: it is not counted, and the fault that was there before stays the outcome."""
    plan = end(first(), 0, AGAIN, 0, 0.0)
    number = plan.launched(RETRY, 0)
    plan.refused(number, RETRY, fault(kind=K.OVERLOADED))
    assert (plan.decide(0), plan.count, plan.why) == (Finish(AGAIN, 0), 1, D.REFUSED)


def test_a_refused_first_attempt() -> None:
    """Nobody may be called: the refusal is the outcome, and nothing was launched."""
    plan, refusal = first(), fault(kind=K.BREAKER_OPEN, sent=False)
    plan.refused(0, FIRST, refusal)
    assert (plan.decide(0), plan.count) == (Finish(refusal, -1), 0)


def test_a_refused_hedge() -> None:
    """The first flies on, there is no other hedge, and its failure may be retried."""
    plan = beside()
    plan.refused(1, HEDGE, fault(kind=K.OVERLOADED))
    assert (plan.decide(90 * MS), plan.count, plan.why) == (Wait(None), 1, D.NO_OTHER_ENDPOINT)
    assert told(end(plan, 0, AGAIN, 100).decide(100 * MS)) == 125


# ---------------------------------------------------------------------- when


def test_backoff_grows() -> None:
    """U · min(initial · multiplier^(n − 1), max)."""
    plan, at, waits = first(Policy("p", Retry(max_attempts=5, backoff=Backoff(50 * MS, 150 * MS, 2.0)))), 0, []
    for number in range(4):
        end(plan, number, AGAIN, at)
        found = told(plan.decide(at * MS))
        assert isinstance(found, int)
        waits.append(found - at)
        at = found
        assert plan.decide(at * MS) == Launch(RETRY)
        plan.launched(RETRY, at * MS)
    assert waits == [25, 50, 75, 75]


def test_pushback_starts_the_backoff_anew() -> None:
    """After a wish of the worker the next wait is as the first one was (gRPC A6)."""
    plan = end(first(Policy("p", Retry(max_attempts=5))), 0, AGAIN, 0)
    plan.launched(RETRY, 25 * MS)
    end(plan, 1, PEACE, 30)
    assert told(plan.decide(30 * MS)) == 155
    plan.launched(RETRY, 155 * MS)
    assert told(end(plan, 2, AGAIN, 160).decide(160 * MS)) == 185


@pytest.mark.parametrize(("asked", "u", "wait"), [(0, 0.9, 0), (100, 0.0, 100), (100, 0.5, 125), (400_000, 0.0, 300_000)])
def test_pushback(asked: int, u: float, wait: int) -> None:
    """At least what the worker asks for, at most 300 s, jittered upwards."""
    plan = end(first(deadline=500_000), 0, fault(after=asked), 10, u)
    assert plan.decide(10 * MS) == (Launch(RETRY) if not wait else Wait((10 + wait) * MS))


def test_a_wish_for_peace_outlives_the_attempt_beside_it() -> None:
    """Two failures, one with pushback: the longer wait counts, whichever came first."""
    for faults in ((PEACE, AGAIN), (AGAIN, PEACE)):
        plan = beside()
        end(end(plan, 0, faults[0], 30), 1, faults[1], 30)
        assert told(plan.decide(30 * MS)) == 155


def test_a_failure_beside_another_attempt_is_answered_at_once() -> None:
    """There is nothing to back off from while somebody flies: the slots of the hedge are used now."""
    assert end(beside(), 1, AGAIN, 30, 0.99).decide(30 * MS) == Launch(RETRY)


@pytest.mark.parametrize(
    ("sent", "elsewhere", "at"), [(False, True, None), (False, False, 25), (True, True, 25), (True, False, 25)]
)
def test_one_that_never_left_goes_elsewhere_at_once(sent: bool, elsewhere: bool, at: int | None) -> None:  # noqa: FBT001  (a table)
    """A dead connection says nothing about the next address, so there is no backoff; if there is none, there is."""
    plan = first()
    plan.elsewhere = elsewhere
    decision = end(plan, 0, fault(sent=sent), 0).decide(0)
    assert decision == (Launch(RETRY) if at is None else Wait(at * MS))


@pytest.mark.parametrize(("deadline", "at"), [(60, 55), (59, None)])
def test_a_backoff_that_would_end_too_late_gives_up_now(deadline: int, at: int | None) -> None:
    """Past the deadline less 5 ms there is no attempt: the last outcome counts, at once."""
    plan = end(first(deadline=deadline), 0, AGAIN, 30)
    assert plan.decide(30 * MS) == (Finish(AGAIN, 0) if at is None else Wait(at * MS))
    assert plan.why is (D.NO_TIME if at is None else None)


def test_a_timer_that_is_late() -> None:
    """A retry or hedge that was planned in time is not launched with less than 5 ms left."""
    plan = end(first(deadline=60), 0, AGAIN, 30)
    assert (plan.decide(56 * MS), plan.why) == (Finish(AGAIN, 0), D.NO_TIME)
    hedged = first(hedge=40, deadline=60)
    assert (hedged.decide(56 * MS), hedged.why, hedged.flying) == (Wait(None), D.NO_TIME, {0})


# ---------------------------------------------------------------------- hedges


@pytest.mark.parametrize(("after", "deadline", "due"), [(0, 100, 0), (40, 100, 40), (95, 100, 95), (96, 100, None)])
def test_a_hedge_is_due_after_its_delay(after: int, deadline: int, due: int | None) -> None:
    """Counted from the send; one that could not be answered in time is not planned, and costs no timer."""
    plan = first(hedge=after, deadline=deadline)
    assert plan.hedge_due == (None if due is None else due * MS)
    if due is not None:
        assert plan.decide(due * MS) == Launch(HEDGE)
        assert due == 0 or plan.decide(due * MS - 1) == Wait(due * MS)


def test_each_attempt_starts_the_timer_of_the_next_hedge() -> None:
    """The hedge of a retry is due as long after the retry as that of the first one was after the first one."""
    plan = end(first(hedge=40), 0, AGAIN, 10)
    assert told(plan.decide(10 * MS)) == 35
    plan.launched(RETRY, 35 * MS)
    assert told(plan.decide(35 * MS)) == 75


def test_nobody_is_hedged_while_a_worker_asks_for_peace() -> None:
    """Pushback stops the hedge timer; the launch after it starts it again."""
    plan = end(beside(), 0, PEACE, 25)
    assert told(plan.decide(100 * MS)) == 150
    assert plan.decide(150 * MS) == Launch(RETRY)
    plan.launched(RETRY, 150 * MS)
    assert plan.decide(150 * MS) == Wait(None)  # it was the third


def test_a_write_is_never_hedged() -> None:
    """Whatever is asked: what may not be repeated is not hedged."""
    plan = first(hedge=0, repeatable=False)
    assert (plan.hedge_due, plan.decide(10 * MS)) == (None, Wait(None))


def test_nothing_is_hedged_once_all_is_over() -> None:
    """A delay that becomes known after a stop changes nothing."""
    plan = end(beside(), 0, STOP, 25)
    plan.hedge_in(MS, 25 * MS)
    assert plan.decide(90 * MS) == Wait(None)


def test_no_hedge() -> None:
    """A reason known beforehand: there is none, and the retry is not touched."""
    plan = first(hedge=10)
    plan.denied(HEDGE, D.COLD)
    assert (plan.decide(20 * MS), plan.why) == (Wait(None), D.COLD)
    assert told(end(plan, 0, AGAIN, 20).decide(20 * MS)) == 45


# ---------------------------------------------------------------------- what is written and what is streamed


def test_a_write_that_was_sent_ends_with_its_fault() -> None:
    """It may have been done: no other attempt, although its code is one that is retried."""
    assert end(first(repeatable=False), 0, AGAIN, 10).decide(10 * MS) == Finish(AGAIN, 0)


def test_a_write_that_never_left_is_tried_again() -> None:
    """Nobody can have seen it."""
    assert told(end(first(repeatable=False), 0, fault(sent=False), 10).decide(10 * MS)) == 35


def test_the_first_part_decides_the_race() -> None:
    """Others have lost then: their parts are refused, and their endings change nothing."""
    plan = beside()
    assert plan.committed == -1
    assert plan.part(1, replace=False)
    assert (plan.committed, plan.flying, plan.part(0, replace=False)) == (1, {1}, False)
    end(end(plan, 0, FATAL, 30), 0, OK, 30)
    assert plan.decide(90 * MS) == Wait(None)
    assert end(plan, 1, OK, 95).decide(95 * MS) == Finish(OK, 1)


def test_one_that_lost_before_it_could_leave() -> None:
    """It is no attempt, and no reason against another."""
    plan = beside()
    plan.part(0, replace=True)
    plan.refused(1, HEDGE, fault(kind=K.CANCELLED))
    assert (plan.count, plan.why) == (1, None)


@pytest.mark.parametrize(
    ("parts", "held", "again"),
    [
        ([], False, True),
        ([False], False, False),
        ([True], False, True),
        ([True, True], False, True),
        ([True, False], False, False),
        ([False, True], False, False),
        ([False], True, True),
        ([True, False], True, True),
    ],
)
def test_after_a_committed_part(parts: list[bool], held: bool, again: bool) -> None:  # noqa: FBT001  (a table)
    """APPEND parts cannot be taken back; what only replaces, or was held back, may be replaced by another attempt's whole."""
    plan = first()
    for replace in parts:
        assert plan.part(0, replace=replace)
    end(plan, 0, fault(kind=K.STREAM_BROKEN), 30, held=held)
    assert told(plan.decide(30 * MS)) == (55 if again else "0")
    assert plan.why is (None if again else D.COMMITTED)
    if again:
        assert plan.committed == -1
        assert plan.part(plan.launched(RETRY, 55 * MS), replace=False)


def test_a_committed_stream_ends_a_wait() -> None:
    """While a worker asks for peace the other attempt's first part arrives: nothing more is planned."""
    plan = end(beside(), 0, PEACE, 25)
    assert plan.part(1, replace=False)
    assert plan.decide(SECOND) == Wait(None)


@pytest.mark.parametrize(("on_timeout", "expected"), [(True, 55), (False, "0")])
def test_an_attempt_that_ran_out_of_its_own_time(on_timeout: bool, expected: object) -> None:  # noqa: FBT001  (a table)
    """LOCAL_TIMEOUT is retried with `on_timeout`, and else is the outcome."""
    plan = first(Policy("p", Retry(on_timeout=on_timeout)))
    assert told(end(plan, 0, fault(Code.DEADLINE_EXCEEDED, kind=K.LOCAL_TIMEOUT), 30).decide(30 * MS)) == expected
