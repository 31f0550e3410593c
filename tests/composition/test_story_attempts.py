"""Retries under the whole engine, on virtual time: when the next attempt leaves, where it goes, and which outcome counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.report import AttemptReport
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, streams
from tests.kit.plans import caught, gives, oversize, plan, raises, stubborn

R, S = BranchReason, BranchState


def conf(retry: Any = None, *, branch: Any = None, worker: Any = None, latency: str = "1s", **rest: Any) -> dict[str, Any]:
    """A plan of one branch `a`, whose worker retries as STANDARD does but for `retry`."""
    policy = {"extends": "standard", "breaker": None, "retry": retry or {}}
    workers = {"a": {"policy": "p", **(worker or {})}}
    return plan({"a": branch or {}}, policies={"p": policy}, workers=workers, latency=latency, **rest)


def told(attempts: tuple[AttemptReport, ...]) -> list[tuple[str, float, int]]:
    """Kind, ms after the request's arrival, and code of each attempt."""
    return [(one.kind.name, one.started_after / 1e6, one.code) for one in attempts]


UNAVAILABLE = Code.UNAVAILABLE


@pytest.mark.fanmesh(conf())
async def test_a_failure_is_retried_after_a_backoff(lab: Lab) -> None:
    """10 ms, a wait of half of 50 ms, and the second attempt answers: the caller sees nothing but the time."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE", after=ms(10)), ends(1, after=ms(5)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.value, r.elapsed, r.complete, row.code) == ({"a": 1}, ms(40), True, 0)
    assert told(row.attempts) == [("FIRST", 0, UNAVAILABLE), ("RETRY", 35, 0)]
    assert [(one.won, one.cancelled) for one in row.attempts] == [(False, False), (True, False)]
    assert [(d.what, d.why, d.after) for d in row.decisions] == [("retry", "UNAVAILABLE", ms(35))]


@pytest.mark.fanmesh(conf())
async def test_the_last_outcome_counts(lab: Lab) -> None:
    """Three attempts, the first one counted, at growing distances; the branch ends with the last failure."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE", "one"), fails("UNAVAILABLE", "two"), fails("UNAVAILABLE", "three"))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (row.state, row.reason, row.code, row.detail) == (S.FAILED, R.WORKER_ERROR, UNAVAILABLE, "three")
    assert told(row.attempts) == [("FIRST", 0, UNAVAILABLE), ("RETRY", 25, UNAVAILABLE), ("RETRY", 75, UNAVAILABLE)]


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize(
    ("script", "made"),
    [
        (fails("INVALID_ARGUMENT"), 1),
        (fails("INTERNAL"), 1),
        (fails("DEADLINE_EXCEEDED"), 1),
        (fails("RESOURCE_EXHAUSTED"), 1),
        (gives(Fault.resource_exhausted("", 0)), 3),
        (gives(Fault.resource_exhausted("", -1)), 1),
        (gives(Fault(FaultKind.WORKER_ERROR, UNAVAILABLE, retry_after=-1)), 1),
        (oversize(), 1),
    ],
)
async def test_what_is_not_retried(lab: Lab, script: Script, made: int) -> None:
    """Only the policy's codes, RESOURCE_EXHAUSTED with pushback only, and nothing after a negative pushback."""
    lab.chance(0.5)
    lab.worker("a").plays(script)
    r = await lab.dispatch("p")
    assert len(r.report["a"].attempts) == made


@pytest.mark.fanmesh(conf())
async def test_pushback_is_waited_for(lab: Lab) -> None:
    """At least as long as the worker asks, here 100 ms and a quarter more by chance; then the backoff begins anew."""
    lab.chance(0.5)
    peace = gives(Fault(FaultKind.WORKER_ERROR, UNAVAILABLE, retry_after=100))
    lab.worker("a").plays(peace, fails("UNAVAILABLE"), ends(1))
    r = await lab.dispatch("p")
    assert [one.started_after for one in r.report["a"].attempts] == [0, ms(125), ms(150)]


@pytest.mark.fanmesh(conf(latency="200ms"))
async def test_a_wait_past_the_deadline_gives_up_now(lab: Lab) -> None:
    """The worker asks for more than there is: the branch fails at once with that fault, and does not sleep first."""
    lab.chance(0.5)
    lab.worker("a").plays(gives(Fault(FaultKind.WORKER_ERROR, UNAVAILABLE, "later", retry_after=200)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report["a"].detail, len(r.report["a"].attempts)) == (0, "later", 1)


@pytest.mark.fanmesh(conf(branch={"timeout": "34ms"}))
async def test_the_branch_timeout_holds_for_all_attempts(lab: Lab) -> None:
    """Retries share the branch's time: a backoff that would leave less than 5 ms is not begun."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE", after=ms(5)), ends(1))
    r = await lab.dispatch("p")
    assert (r.elapsed, len(r.report["a"].attempts), r.report["a"].reason) == (ms(5), 1, R.WORKER_ERROR)


@pytest.mark.fanmesh(conf(branch={"timeout": "35ms"}))
async def test_exactly_enough_time_is_enough(lab: Lab) -> None:
    """With 5 ms left the second attempt is made."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE", after=ms(5)), ends(1, after=ms(4)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.value) == (ms(34), {"a": 1})


@pytest.mark.fanmesh(conf())
async def test_a_retry_goes_elsewhere(lab: Lab) -> None:
    """Each endpoint once, before any is tried again."""
    lab.chance(0.5)
    one, two, three = lab.worker("a").replicas(3)
    for place in (one, two, three):
        place.plays(fails("UNAVAILABLE"))
    r = await lab.dispatch("p")
    assert sorted(attempt.endpoint for attempt in r.report["a"].attempts) == ["lab:a-0", "lab:a-1", "lab:a-2"]


@pytest.mark.fanmesh(conf())
async def test_one_that_never_left_goes_elsewhere_at_once(lab: Lab) -> None:
    """A refused connection at one address says nothing about the next: no backoff."""
    lab.chance(0.5)
    lab.worker("a").replicas(2)
    never = gives(Fault(FaultKind.WORKER_ERROR, UNAVAILABLE, sent=False))
    lab.worker("a").plays(never, ends(1, after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.elapsed, len(r.report["a"].attempts)) == (ms(5), 2)


# ---------------------------------------------------------------------- the retry budget


@pytest.mark.fanmesh(conf({"budget": {"ratio": 0.5, "min_per_second": 0}}))
async def test_the_budget(lab: Lab) -> None:
    """Each first attempt pays in a half and each retry takes 1: one of two branches is retried, and no error is new."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE", "down"))
    made = []
    for _ in range(6):
        r = await lab.dispatch("p")
        row = r.report["a"]
        assert (row.reason, row.code, row.detail) == (R.WORKER_ERROR, UNAVAILABLE, "down")
        assert [(d.what, d.why) for d in row.decisions][-1] == ("retry_denied", "budget")
        made.append(len(row.attempts))
    assert made == [1, 2, 1, 2, 1, 2]
    assert lab.books.of("a").counts["retry_denied", "budget"] == 6


# ---------------------------------------------------------------------- timeouts


@pytest.mark.fanmesh(conf({"per_try_timeout": "100ms"}))
async def test_an_attempt_has_its_own_time(lab: Lab) -> None:
    """After 100 ms the first one is cancelled at its worker, and the second one answers."""
    lab.chance(0.5)
    lab.worker("a").plays(hangs(), ends(1, after=ms(5)))
    r = await lab.dispatch("p")
    first, second = r.report["a"].attempts
    assert (r.elapsed, lab.worker("a").cancelled) == (ms(130), 1)
    assert (first.elapsed, first.cancelled, second.started_after) == (ms(100), True, ms(125))


@pytest.mark.fanmesh(conf({"per_try_timeout": "100ms", "on_timeout": False}))
async def test_without_on_timeout_it_is_the_end(lab: Lab) -> None:
    """Then the attempt's time is the branch's: hard timeout, one attempt, long before the request's own end."""
    lab.chance(0.5)
    lab.worker("a").plays(hangs())
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.elapsed, row.state, row.reason, len(row.attempts)) == (ms(100), S.TIMED_OUT, R.HARD_TIMEOUT, 1)


@pytest.mark.fanmesh(conf({"per_try_timeout": "100ms"}))
async def test_one_that_swallows_its_timeout(lab: Lab) -> None:
    """An attempt that answers after its time was over has not answered; the retry is not cancelled for it."""
    lab.chance(0.5)
    lab.worker("a").plays(stubborn(hangs(), lingers=ms(10), then=Fault.internal()), ends(1, after=ms(50)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed) == ({"a": 1}, ms(100 + 10 + 25 + 50))


@pytest.mark.fanmesh(conf({"per_try_timeout": "100ms"}, branch={"timeout": "100ms"}))
async def test_the_very_deadline_is_the_branch_s_alarm(lab: Lab) -> None:
    """An attempt whose time is all that the branch has: the alarm ends the branch, with its state and no retry."""
    lab.chance(0.5)
    lab.worker("a").plays(hangs())
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.elapsed, row.state, row.reason, row.code, len(row.attempts)) == (ms(100), S.TIMED_OUT, R.HARD_TIMEOUT, 0, 1)


@pytest.mark.fanmesh(conf(branch={"timeout": "100ms"}))
async def test_the_transport_s_own_timeout_at_the_deadline(lab: Lab) -> None:
    """LOCAL_TIMEOUT a little before the deadline, by the transport's clock: no retry, and the alarm says how it ended."""
    lab.chance(0.5)
    early = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, "no answer in time")
    lab.worker("a").plays(gives(early, after=ms(98)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.elapsed, row.state, row.reason, len(row.attempts)) == (ms(100), S.TIMED_OUT, R.HARD_TIMEOUT, 1)


@pytest.mark.fanmesh(conf({"backoff": {"initial": "10s", "max": "10s"}}, latency="20s", branch={"timeout": "10s"}))
async def test_a_branch_that_waits_for_its_backoff_is_ended_like_any_other(lab: Lab) -> None:
    """The caller's completion does not wait for it, and nothing is left of the wait."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE"))
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    await lab.settle()
    assert len(lab.worker("a").calls) == 1


# ---------------------------------------------------------------------- nobody waits


@pytest.mark.fanmesh(conf(branch={"timeout": "100ms"}))
async def test_nothing_is_spent_for_a_branch_that_has_ended(lab: Lab) -> None:
    """A worker that swallows its cancellation and then fails is not called again: nobody would read the answer."""
    lab.chance(0.5)
    lab.worker("a").plays(stubborn(hangs(), lingers=ms(10), then=Fault.unavailable()))
    r = await lab.dispatch("p")
    assert r.report["a"].reason is R.HARD_TIMEOUT
    await asyncio.sleep(1)
    assert len(lab.worker("a").calls) == 1


@pytest.mark.fanmesh(conf())
async def test_the_caller_goes_away_while_a_stubborn_worker_fails(lab: Lab) -> None:
    """The branch ends with the attempt, although its alarms are gone: it must not wait for a backoff that nobody times."""
    lab.chance(0.5)
    lab.worker("a").plays(stubborn(hangs(), lingers=ms(10), then=Fault.unavailable()))
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.02)
    assert len(lab.worker("a").calls) == 1


@pytest.mark.fanmesh(conf())
async def test_a_defect_is_an_outcome_of_its_attempt(lab: Lab) -> None:
    """An exception that is no Fault fails as INTERNAL, is told to the loop, and is not retried unless the policy says so."""
    lab.chance(0.5)
    found, restore = caught()
    lab.worker("a").plays(raises(ZeroDivisionError("x")), ends(1))
    r = await lab.dispatch("p")
    restore()
    row = r.report["a"]
    assert (row.state, row.code, row.detail, len(row.attempts)) == (S.FAILED, Code.INTERNAL, "ZeroDivisionError", 1)
    assert [type(context["exception"]) for context in found] == [ZeroDivisionError]


@pytest.mark.fanmesh(conf({"codes": ["INTERNAL", "CANCELLED"]}))
@pytest.mark.parametrize("error", [ZeroDivisionError("x"), asyncio.CancelledError()])
async def test_a_defect_may_be_retried(lab: Lab, error: BaseException) -> None:
    """Like any failure of its code; and a worker that cancels itself has not cancelled the branch."""
    lab.chance(0.5)
    _, restore = caught()
    lab.worker("a").plays(raises(error), ends(1))
    r = await lab.dispatch("p")
    restore()
    assert (r.value, len(r.report["a"].attempts)) == ({"a": 1}, 2)


# ---------------------------------------------------------------------- streams


def streaming(branch: Any = None) -> dict[str, Any]:
    """The worker answers in parts."""
    return conf(branch=branch, streaming=["a"])


@pytest.mark.fanmesh(streaming())
async def test_a_stream_that_fails_before_its_first_part(lab: Lab) -> None:
    """Nothing is committed: it is retried like any other."""
    lab.chance(0.5)
    lab.worker("a").plays(fails("UNAVAILABLE"), streams([[1], [2]], every=ms(5)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, r.complete) == ({"a": [1, 2]}, ms(25 + 10), True)


@pytest.mark.fanmesh(streaming())
async def test_after_a_committed_append_part_there_is_no_other_attempt(lab: Lab) -> None:
    """What was handed on cannot be taken back: the branch keeps its parts and fails."""
    lab.chance(0.5)
    lab.worker("a").plays(streams([[1], [2]], every=ms(5), then=fails("UNAVAILABLE")), streams([[9]]))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (row.state, row.reason, len(row.attempts)) == (S.FAILED, R.STREAM_BROKEN, 1)


@pytest.mark.fanmesh(streaming())
async def test_a_replacing_stream_that_breaks_is_replaced_whole(lab: Lab) -> None:
    """Another attempt may say everything again, by replacing or by appending: nothing of the first one is left."""
    lab.chance(0.5)
    broken = streams([[1], [1, 2]], every=ms(5), replace=True, then=fails("UNAVAILABLE"))
    for again in (streams([[7], [7, 8]], replace=True), streams([[7], [8]])):
        lab.worker("a").plays(broken, again)
        r = await lab.dispatch("p")
        assert (r.value, r.complete, len(r.report["a"].attempts)) == ({"a": [7, 8]}, True, 2)


@pytest.mark.fanmesh(streaming({"on_stream_failure": "discard"}))
async def test_held_parts_may_be_said_again(lab: Lab) -> None:
    """`on_stream_failure: discard` has handed on nothing: a broken stream is retried, and its parts are not mixed in."""
    lab.chance(0.5)
    lab.worker("a").plays(streams([[1], [2]], every=ms(5), then=fails("UNAVAILABLE")), streams([[7], [8]]))
    r = await lab.dispatch("p")
    assert (r.value, r.complete, len(r.report["a"].attempts)) == ({"a": [7, 8]}, True, 2)


@pytest.mark.fanmesh(streaming())
async def test_a_part_that_does_not_fit(lab: Lab) -> None:
    """A part that cannot be joined fails the attempt; after a good one that is final."""
    lab.chance(0.5)
    lab.worker("a").plays(streams([[1], 2], every=ms(5)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (row.state, row.reason, len(row.attempts)) == (S.FAILED, R.INVALID_RESPONSE, 1)
