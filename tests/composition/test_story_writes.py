"""Writes under the whole engine: never made twice unless nobody can have seen the first, and never cut off by a completion."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import Lab, ends, fails, hangs, ms
from tests.kit.plans import gives, plan, stubborn

R, S = BranchReason, BranchState
STANDARD = {"extends": "standard", "breaker": None}


def conf(write: Any = None, *, policy: Any = None, worker: Any = None, **rest: Any) -> dict[str, Any]:
    """A plan of a read `r` and a write `w`."""
    writer = {"effect": "write", "policy": "p", **(worker or {})}
    return plan({"r": {}, "w": write or {}}, policies={"p": policy or STANDARD}, workers={"w": writer}, **rest)


@pytest.mark.fanmesh(conf())
@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"])
async def test_a_write_that_was_sent_is_not_retried(lab: Lab, code: str) -> None:
    """It may have been done: whatever its fault, there is one attempt."""
    lab.worker("r").plays(ends(1))
    lab.worker("w").plays(fails(code), ends(2))
    r = await lab.dispatch("p")
    assert (len(r.report["w"].attempts), r.report["w"].state) == (1, S.FAILED)


@pytest.mark.fanmesh(conf())
async def test_a_write_that_was_never_sent_is(lab: Lab) -> None:
    """A connection that could not be made: nobody can have seen it."""
    lab.chance(0.0)
    lab.worker("r").plays(ends(1))
    lab.worker("w").plays(gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False)), ends(2))
    r = await lab.dispatch("p")
    assert (r.value, len(r.report["w"].attempts)) == ({"r": 1, "w": 2}, 2)


@pytest.mark.fanmesh(conf(policy={**STANDARD, "retry": {"per_try_timeout": "50ms"}}))
async def test_a_write_that_ran_out_of_its_own_time(lab: Lab) -> None:
    """It was sent, so it is not sent again, `on_timeout` or not."""
    lab.worker("r").plays(ends(1))
    lab.worker("w").plays(hangs())
    r = await lab.dispatch("p")
    row = r.report["w"]
    assert (r.elapsed, row.state, row.reason, len(row.attempts)) == (ms(50), S.TIMED_OUT, R.HARD_TIMEOUT, 1)


@pytest.mark.fanmesh(conf(worker={"idempotent": True}))
async def test_an_idempotent_write_is_retried_like_a_read(lab: Lab) -> None:
    """Its worker says that twice is as good as once."""
    lab.chance(0.0)
    lab.worker("r").plays(ends(1))
    lab.worker("w").plays(fails("UNAVAILABLE"), ends(2))
    r = await lab.dispatch("p")
    assert r.value == {"r": 1, "w": 2}


@pytest.mark.fanmesh(conf(complete={"until": "first"}))
async def test_a_completion_leaves_a_write_behind(lab: Lab) -> None:
    """PENDING/SOFT_TIMEOUT in the report; it is not cancelled, and ends by itself."""
    lab.worker("r").plays(ends(1, after=ms(10)))
    w = lab.worker("w").plays(ends(2, after=ms(100)))
    r = await lab.dispatch("p")
    row = r.report["w"]
    assert (r.elapsed, r.value, row.state, row.reason) == (ms(10), {"r": 1}, S.PENDING, R.SOFT_TIMEOUT)
    assert (w.running, w.cancelled, lab.reaper.detached) == (1, 0, 1)
    await asyncio.sleep(0.1)
    assert (w.running, w.cancelled) == (0, 0)


@pytest.mark.fanmesh(conf({"timeout": "60ms"}, complete={"until": "first"}))
async def test_a_write_that_was_left_behind_has_its_own_hard_timeout(lab: Lab) -> None:
    """It goes on to that and no further: then it is cancelled."""
    lab.worker("r").plays(ends(1, after=ms(10)))
    w = lab.worker("w").plays(hangs())
    await lab.dispatch("p")
    await asyncio.sleep(0.0499)
    assert w.cancelled == 0
    await asyncio.sleep(0.0002)
    assert w.cancelled == 1


@pytest.mark.fanmesh(conf(complete={"until": "first"}))
async def test_a_write_that_was_left_behind_is_not_tried_again(lab: Lab) -> None:
    """That it was never sent turns out after the reply: nobody waits for it, and it ends there."""
    lab.worker("r").plays(ends(1, after=ms(10)))
    w = lab.worker("w").plays(gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False), after=ms(50)), ends(2))
    await lab.dispatch("p")
    await asyncio.sleep(0.0401)
    assert (len(w.calls), lab.reaper.open) == (1, 0)


@pytest.mark.fanmesh(conf())
async def test_the_caller_goes_with_a_write_in_flight(lab: Lab) -> None:
    """The read is cancelled at once, the write runs to its end."""
    read, write = lab.worker("r").plays(hangs()), lab.worker("w").plays(ends(2, after=ms(100)))
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    await lab.settle()
    assert (task.cancelled(), read.cancelled, write.cancelled, write.running) == (True, 1, 0, 1)
    await asyncio.sleep(0.06)
    assert (write.cancelled, write.running) == (0, 0)


@pytest.mark.fanmesh(conf(policy={**STANDARD, "retry": {"backoff": {"initial": "500ms"}}}))
async def test_the_caller_goes_while_a_write_waits_for_its_next_attempt(lab: Lab) -> None:
    """It is not at a worker, so it is cancelled like a read."""
    lab.chance(0.9)
    lab.worker("r").plays(hangs())
    write = lab.worker("w").plays(gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False)), ends(2))
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    await lab.settle()
    assert (len(write.calls), lab.reaper.open, lab.reaper.detached) == (1, 0, 0)


@pytest.mark.fanmesh(conf({"timeout": "50ms"}))
async def test_its_own_hard_timeout_cancels_a_write(lab: Lab) -> None:
    """The branch has failed, and what it was doing is stopped."""
    lab.worker("r").plays(ends(1, after=ms(100)))
    w = lab.worker("w").plays(hangs())
    r = await lab.dispatch("p")
    assert (r.report["w"].reason, w.cancelled) == (R.HARD_TIMEOUT, 1)


@pytest.mark.fanmesh(plan("r w", workers={"w": {"effect": "write"}}, accept={"min_success": 2}))
async def test_a_floor_that_is_not_met_after_a_write_was_sent(lab: Lab) -> None:
    """ABORTED and not UNAVAILABLE: repeating the request may repeat the write."""
    lab.worker("r").plays(fails("UNAVAILABLE", after=ms(10)))
    w = lab.worker("w").plays(ends(2, after=ms(100)))
    r = await lab.dispatch("p")
    assert (r.code, r.elapsed, r.report["w"].state) == (Code.ABORTED, ms(10), S.PENDING)
    await asyncio.sleep(0.1)
    assert (w.cancelled, w.running) == (0, 0)


@pytest.mark.fanmesh(plan("r w", workers={"w": {"effect": "write"}}, accept={"min_success": 2}))
async def test_a_floor_that_is_not_met_and_no_write_was_sent(lab: Lab) -> None:
    """UNAVAILABLE as ever: nothing can have been done."""
    lab.worker("r").plays(ends(1))
    lab.worker("w").plays(gives(Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False)))
    r = await lab.dispatch("p")
    assert r.code is Code.UNAVAILABLE


@pytest.mark.fanmesh(conf(complete={"until": "first"}, worker={"limit": {"in_flight": 1}}))
async def test_a_write_that_was_left_behind_keeps_its_place(lab: Lab) -> None:
    """It is still a call at the worker, so the limit counts it until it has ended."""
    lab.worker("r").plays(ends(1, after=ms(10)))
    lab.worker("w").plays(stubborn(ends(2, after=ms(100)), lingers=0))
    await lab.dispatch("p")
    assert lab.books.of("w").queue.running == 1
    await asyncio.sleep(0.1)
    assert lab.books.of("w").queue.running == 0
