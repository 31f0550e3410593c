"""Cancellation: who stops what, at once, and who owns what does not stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, ends, fails, hangs, ms, run_virtual, streams
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.plans import caught, plan, raises, stubborn, watched

R, S, C = BranchReason, BranchState, CompletedBy


@pytest.mark.fanmesh(plan("a b s", streaming=["s"]))
async def test_the_caller_goes_away(lab: Lab) -> None:
    """The caller goes: every read is cancelled at that instant, and the account says CALLER_GONE."""
    seen = watched(lab)
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(1, after=ms(10)))
    lab.worker("s").plays(streams([[1]], every=ms(20), then=hangs()))
    call = asyncio.ensure_future(lab.dispatch("p"))
    await virtual_sleep(ms(50))
    assert lab.worker("a").running == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await lab.settle()
    assert lab.clock.now() == ms(50)
    assert (lab.worker("a").cancelled, lab.worker("s").cancelled, lab.worker("a").running) == (1, 1, 0)
    ((_, report, refusal, at),) = seen.ended
    assert report is not None
    assert refusal is not None
    assert (refusal.code, report.completed_by, at) == (Code.CANCELLED, C.CALLER_GONE, ms(50))
    assert [(row.state, row.reason) for row in report.branches] == [
        (S.CANCELLED, R.CALLER_GONE),
        (S.SUCCEEDED, R.NONE),
        (S.CANCELLED, R.CALLER_GONE),
    ]
    assert (report.coverage.cancelled, report.coverage.succeeded, report.complete) == (2, 1, False)
    assert not report.degraded
    lab.assert_nothing_left()


@pytest.mark.fanmesh(plan("a b"))
async def test_the_caller_goes_before_anything_was_sent(lab: Lab) -> None:
    """A caller that goes at once leaves nothing running, and is accounted for once."""
    seen = watched(lab)
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(hangs())
    call = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await lab.settle()
    lab.assert_nothing_left()
    assert len(seen.ended) == 1


@pytest.mark.fanmesh(plan({"a": {"if_missing": {"use": 1}}, "b": {}}))
async def test_no_default_for_a_caller_that_has_gone(lab: Lab) -> None:
    """CALLER_GONE puts no default in."""
    seen = watched(lab)
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(hangs())
    call = asyncio.ensure_future(lab.dispatch("p"))
    await virtual_sleep(ms(5))
    call.cancel()
    await asyncio.wait([call])
    ((_, report, _, _),) = seen.ended
    assert report is not None
    assert (report["a"].state, report.coverage.defaulted) == (S.CANCELLED, 0)


@pytest.mark.fanmesh(plan({"a": {"timeout": "100ms"}, "b": {}}))
async def test_the_worker_sees_the_cancel_long_before_its_deadline(lab: Lab) -> None:
    """What is left behind is cancelled at the worker then, not at its own deadline."""
    lab.worker("a").plays(hangs())
    lab.worker("b").plays(ends(1, after=ms(500)))
    call = asyncio.ensure_future(lab.dispatch("p"))
    await virtual_sleep(ms(101))
    assert (lab.worker("a").cancelled, lab.worker("a").running) == (1, 0)
    await call


@pytest.mark.fanmesh(plan("a b", complete={"until": "first"}))
async def test_the_reply_does_not_wait_for_cancellations(lab: Lab) -> None:
    """A worker that swallows its cancellation is taken over by the reaper; the reply leaves on time."""
    seen = watched(lab)
    lab.worker("a").plays(stubborn(hangs(), lingers=ms(3000)))
    lab.worker("b").plays(ends(1, after=ms(10)))
    r = await lab.dispatch("p")
    assert (r.elapsed, lab.reaper.open, lab.reaper.adopted) == (ms(10), 1, 1)
    await virtual_sleep(ms(2999))
    assert lab.reaper.open == 1
    await virtual_sleep(ms(2))
    assert lab.reaper.open == 0
    assert seen.late_branches == []


@pytest.mark.fanmesh(plan("a b", complete={"until": "first"}))
async def test_a_late_answer_is_counted(lab: Lab) -> None:
    """A worker that answers although it was cancelled is late: counted, never merged."""
    seen = watched(lab)
    lab.worker("a").plays(stubborn(hangs(), lingers=ms(100), then=Success("late")))
    lab.worker("b").plays(ends(1, after=ms(10)))
    r = await lab.dispatch("p")
    assert (r.value, seen.late_branches) == ({"b": 1}, [])
    await virtual_sleep(ms(101))
    assert seen.late_branches == ["a"]
    assert r.value == {"b": 1}


@pytest.mark.fanmesh(plan({"a": {"timeout": "50ms"}, "b": {}}))
async def test_a_timeout_that_is_swallowed(lab: Lab) -> None:
    """A branch has timed out even if its worker goes on and answers before the request is complete."""
    seen = watched(lab)
    lab.worker("a").plays(stubborn(hangs(), lingers=ms(20), then=Success("late")))
    lab.worker("b").plays(ends(1, after=ms(100)))
    r = await lab.dispatch("p")
    assert (r.report["a"].state, r.report["a"].reason, r.value) == (S.TIMED_OUT, R.HARD_TIMEOUT, {"b": 1})
    assert lab.reaper.adopted == 1
    assert [refusal for _, _, refusal, _ in seen.ended] == [None]


def failing(script: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Dispatch a plan of which branch a plays `script`; what came out, and what the loop was told."""

    async def main() -> tuple[Any, list[dict[str, Any]]]:
        lab = Lab(plan("a b"))
        told, restore = caught()
        lab.worker("a").plays(script)
        lab.worker("b").plays(ends(2, after=ms(20)))
        result = await lab.dispatch("p")
        lab.assert_nothing_left()
        restore()
        return result, told

    return run_virtual(main())


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyError("x"), AssertionError("no")])
def test_a_bug_fails_its_branch_only(error: Exception) -> None:
    """A bug in a layer or an endpoint becomes a fault of that branch, its type is all a caller learns, and it is reported."""
    r, told = failing(raises(error, after=ms(5)))
    a = r.report["a"]
    assert (a.state, a.reason, a.code, a.detail) == (S.FAILED, R.WORKER_ERROR, Code.INTERNAL, type(error).__name__)
    assert (r.value, r.elapsed) == ({"b": 2}, ms(20))
    assert [context["exception"] for context in told] == [error]


def test_a_worker_that_cancels_itself() -> None:
    """A branch that is cancelled by nobody has failed; it does not look like the caller's cancellation."""
    r, told = failing(raises(asyncio.CancelledError(), after=ms(5)))
    assert (r.report["a"].state, r.report["a"].reason, r.report["a"].code) == (S.FAILED, R.WORKER_ERROR, Code.CANCELLED)
    assert (r.value, told) == ({"b": 2}, [])


@pytest.mark.fanmesh(plan("a b c", complete={"until": "first"}))
async def test_losers_end_as_cancelled(lab: Lab) -> None:
    """What was cancelled is reported as such, with the time it had run, and is no error."""
    lab.worker("a").plays(ends(1, after=ms(30)))
    lab.worker("b").plays(hangs())
    lab.worker("c").plays(fails(after=ms(40)))
    r = await lab.dispatch("p")
    for name in "bc":
        (attempt,) = r.report[name].attempts
        assert (attempt.cancelled, attempt.code, attempt.elapsed) == (True, Code.CANCELLED, ms(30))
    assert not r.report.degraded


@pytest.mark.fanmesh(plan({"a": {"soft_timeout": "20ms"}, "b": {}}))
async def test_who_was_given_up_before_is_not_late(lab: Lab) -> None:
    """A late answer of a branch that was left behind at its soft timeout is counted; its reason stays."""
    seen = watched(lab)
    lab.worker("a").plays(stubborn(hangs(), lingers=0, then=Success("late")))
    lab.worker("b").plays(ends(1))
    r = await lab.dispatch("p")
    await virtual_sleep(ms(1))
    assert (r.report["a"].reason, seen.late_branches) == (R.SOFT_TIMEOUT, ["a"])
