"""Sentences of the law that nothing else held, and configurations that nobody should write and somebody will."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.model.request import Tightening
from dispatcher.policies.overload import Stage
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.states import AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, ends, fails, hangs, ms
from tests.kit.plans import gives, plan

R, S, C = BranchReason, BranchState, CompletedBy


def conf(policy: Any, *, worker: Any = None, branch: Any = None, **rest: Any) -> dict[str, Any]:
    """A plan of one branch `a` with this policy."""
    return plan({"a": branch or {}}, policies={"p": policy}, workers={"a": {"policy": "p", **(worker or {})}}, **rest)


# ---------------------------------------------------------------------- an overloaded process


@pytest.mark.parametrize(
    ("stage", "dropped"), [(Stage.CALM, False), (Stage.NO_HEDGES, False), (Stage.NO_OPTIONAL, True), (Stage.REJECTING, True)]
)
@pytest.mark.fanmesh(plan({"must": {"required": True}, "may": {}, "told": {"if_missing": "fail"}}))
async def test_an_overloaded_process_drops_what_the_plan_can_do_without(lab: Lab, stage: Stage, dropped: bool) -> None:  # noqa: FBT001
    """From NO_OPTIONAL on: REJECTED/OVERLOAD and not called; it stays in the denominator, and the reply is degraded."""
    lab.stage = stage
    for name in ("must", "may", "told"):
        lab.worker(name).plays(ends(1))
    r = await lab.dispatch("p")
    assert r.code is Code.OK
    assert len(lab.worker("may").calls) == (not dropped)
    assert [len(lab.worker(name).calls) for name in ("must", "told")] == [1, 1]
    expected = (S.REJECTED, R.OVERLOAD) if dropped else (S.SUCCEEDED, R.NONE)
    assert (r.report["may"].state, r.report["may"].reason) == expected
    assert r.complete is not dropped
    assert r.coverage.ratio == (2 / 3 if dropped else 1.0)
    assert r.report.degraded.overload is dropped


@pytest.mark.fanmesh(plan({"a": {}, "b": {}}))
async def test_a_plan_that_has_nothing_but_options_keeps_them(lab: Lab) -> None:
    """There is nothing to be had instead: dropping all of it would be refusing, which is the next stage's. Unless asked for."""
    lab.stage = Stage.NO_OPTIONAL
    for name in "ab":
        lab.worker(name).plays(ends(1))
    assert (await lab.dispatch("p")).complete
    insists = Tightening(None, 0, 0.0, frozenset("a"))
    r = await lab.dispatch("p", tightening=insists)
    assert (r.report["a"].state, r.report["b"].reason) == (S.SUCCEEDED, R.OVERLOAD)


# ---------------------------------------------------------------------- writes


WRITE = {"effect": "write", "limit": {"in_flight": 1, "queue": 1}}


@pytest.mark.fanmesh(plan("w", workers={"w": WRITE}))
async def test_the_caller_goes_before_a_write_was_sent(lab: Lab) -> None:
    """It still waits for a place: it is cancelled and never sent, while the one that was sent goes on for its own caller."""
    lab.worker("w").plays(ends(1, after=ms(100)))
    sent = asyncio.ensure_future(lab.dispatch("p", 1))
    await asyncio.sleep(0.01)
    waits = asyncio.ensure_future(lab.dispatch("p", 2))
    await asyncio.sleep(0.01)
    waits.cancel()
    await asyncio.wait({waits})
    assert (await sent).code is Code.OK
    await asyncio.sleep(1)
    assert lab.worker("w").calls == [1]
    assert lab.reaper.detached == 0


# ---------------------------------------------------------------------- nobody should write this


NO_WAIT = {"initial": "0ms", "max": "0ms"}
TEN = {"retry": {"max_attempts": 10, "backoff": NO_WAIT, "budget": {"ratio": 1, "min_per_second": 100}}}


@pytest.mark.fanmesh(conf(TEN))
async def test_ten_attempts_without_a_pause(lab: Lab) -> None:
    """Ten calls, no eleventh, in no time; the branch ends with the last failure, and says why there is no other."""
    lab.worker("a").plays(fails("UNAVAILABLE"))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (row.state, len(row.attempts), r.elapsed) == (S.FAILED, 10, 0)
    assert [attempt.kind for attempt in row.attempts] == [AttemptKind.FIRST] + [AttemptKind.RETRY] * 9
    assert (row.decisions[-1].what, row.decisions[-1].why) == ("retry_denied", "max_attempts")


@pytest.mark.fanmesh(conf({**TEN, "hedge": {"after": "1ms", "max_extra_load": 1}}, worker={"limit": {"in_flight": 1}}))
async def test_ten_attempts_of_hedges_with_one_place(lab: Lab) -> None:
    """A hedge never gets a second place, and the retries share the first one, which is given back."""
    lab.worker("a").plays(fails("UNAVAILABLE", after=ms(5)))
    lab.worker("a").replicas(3)
    r = await lab.dispatch("p")
    kinds = {attempt.kind for attempt in r.report["a"].attempts}
    assert (len(r.report["a"].attempts), AttemptKind.HEDGE in kinds) == (10, False)
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"hedge": {"after": "200ms", "max_extra_load": 1}}, branch={"timeout": "50ms"}))
async def test_a_hedge_that_would_come_after_the_end(lab: Lab) -> None:
    """It is not made, and nothing waits for its alarm."""
    lab.worker("a").plays(hangs())
    lab.worker("a").replicas(2)
    r = await lab.dispatch("p")
    assert (r.report["a"].reason, len(r.report["a"].attempts), r.elapsed) == (R.HARD_TIMEOUT, 1, ms(50))


HURRIED = {"retry": {"max_attempts": 3, "backoff": NO_WAIT}, "hedge": {"after": "1ms", "max_extra_load": 1}}


@pytest.mark.fanmesh(conf(HURRIED, worker={"limit": {"rate": {"per_second": 1, "burst": 1}}}))
async def test_one_call_a_second_for_retries_and_hedges(lab: Lab) -> None:
    """Three endpoints with one token each are three calls; the next request is REJECTED, and takes nothing."""
    lab.worker("a").plays(fails("UNAVAILABLE"))
    lab.worker("a").replicas(3)
    found = [(await lab.dispatch("p")).report["a"] for _ in range(2)]
    assert [(row.state, row.reason, len(row.attempts)) for row in found] == [
        (S.FAILED, R.WORKER_ERROR, 3),
        (S.REJECTED, R.RATE_LIMIT, 0),
    ]


# ---------------------------------------------------------------------- each decision, each with its reason


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (fails("UNAVAILABLE", after=ms(971)), "no_time"),
        (fails("UNAVAILABLE"), "max_attempts"),
    ],
)
@pytest.mark.fanmesh(conf({"retry": {"max_attempts": 2, "backoff": NO_WAIT}}))
async def test_why_there_was_no_further_attempt(lab: Lab, script: Any, why: str) -> None:
    """In the report of the branch and among the worker's counts: once."""
    lab.worker("a").plays(script)
    r = await lab.dispatch("p")
    assert [(one.what, one.why) for one in r.report["a"].decisions][-1] == ("retry_denied", why)
    assert lab.books.of("a").counts["retry_denied", why] == 1


@pytest.mark.parametrize("after", [ms(972), ms(990)])
@pytest.mark.fanmesh(conf({"retry": {"backoff": NO_WAIT}}))
async def test_at_its_own_end_a_branch_says_the_same_whoever_was_first(lab: Lab, after: int) -> None:
    """The transport's timer a little before flow's alarm, or after it: no decision of a policy is told."""
    timeout = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, origin=Origin.LOCAL)
    lab.worker("a").plays(gives(timeout, after=after))
    row = (await lab.dispatch("p")).report["a"]
    assert (row.reason, len(row.attempts), row.decisions) == (R.REQUEST_DEADLINE, 1, ())
    assert not lab.books.of("a").counts


@pytest.mark.fanmesh(conf({"retry": {}, "hedge": {"after": "p95"}}))
async def test_why_a_slow_call_was_not_hedged(lab: Lab) -> None:
    """Too few latencies are known yet: the report of each such call says so, for who reads it has no metrics at hand."""
    lab.worker("a").plays(ends(1))
    lab.worker("a").replicas(2)
    r = await lab.dispatch("p")
    assert [(one.what, one.why) for one in r.report["a"].decisions] == [("hedge_denied", "cold")]
