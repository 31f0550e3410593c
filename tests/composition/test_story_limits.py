"""Limits under the whole engine: who waits, who is refused, and that every place comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Reply
from dispatcher.layers.queue import reloaded
from dispatcher.model.request import Request
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.payload import Box
from fanmesh.testing import Lab, ends, fails, hangs, ms
from tests.kit.plans import plan

R, S = BranchReason, BranchState


def conf(limit: Any, *, policy: Any = None, branch: Any = None, latency: str = "1s") -> dict[str, Any]:
    """A plan of one branch `a`, whose worker has this limit."""
    worker = {"limit": limit, **({"policy": "p"} if policy else {})}
    return plan({"a": branch or {}}, workers={"a": worker}, policies={"p": policy} if policy else None, latency=latency)


async def burst(lab: Lab, *given: tuple[int, int], critical: bool = True) -> list[Reply]:
    """Requests with so much time each (ms), the first number saying how many ms after now they arrive."""

    async def one(number: int, after: int, time: int) -> Reply:
        await asyncio.sleep(after / 1000)
        request = Request(f"r{number}", "p", Box.of(number), lab.clock.now(), remaining=ms(time), critical=critical)
        return await dispatch(lab._engine, lab.config.catalogue, request)

    return list(await asyncio.gather(*(one(number, *times) for number, times in enumerate(given))))


def rows(replies: Sequence[Reply]) -> list[BranchReport]:
    """The branch of each request."""
    return [reply.report["a"] for reply in replies if reply.report is not None]


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_the_most_urgent_goes_first(lab: Lab) -> None:
    """Three wait behind one that runs: they are called by deadline and not by age, and their waits are told."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    found = rows(await burst(lab, (0, 900), (1, 800), (2, 600), (3, 700)))
    assert lab.worker("a").calls == [0, 2, 3, 1]
    assert [row.queued for row in found] == [0, ms(149), ms(48), ms(97)]
    assert [row.started_after for row in found] == [0, ms(149), ms(48), ms(97)]


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 0}))
async def test_without_a_queue_the_second_is_refused(lab: Lab) -> None:
    """At once, as REJECTED/OVERLOAD; nothing was sent, and the report says why."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    replies = await burst(lab, (0, 900), (1, 900))
    first, second = rows(replies)
    assert (first.state, second.state, second.reason, second.attempts) == (S.SUCCEEDED, S.REJECTED, R.OVERLOAD, ())
    assert [(d.what, d.why) for d in second.decisions] == [("refused", "queue_full")]
    refusal = replies[1].refusal
    assert refusal is not None
    assert refusal.code is Code.RESOURCE_EXHAUSTED
    assert lab.books.of("a").counts == {("refused", "queue_full"): 1}


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 1}))
async def test_one_that_waits_makes_room_for_a_more_urgent_one(lab: Lab) -> None:
    """The queue is full: the one with the latest deadline is refused, in the instant in which the other arrives."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    _, evicted, urgent = rows(await burst(lab, (0, 900), (1, 800), (2, 600)))
    assert (evicted.state, evicted.reason, evicted.queued) == (S.REJECTED, R.OVERLOAD, ms(1))
    assert (urgent.state, lab.worker("a").calls) == (S.SUCCEEDED, [0, 2])


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 1}))
async def test_a_sheddable_request_does_not_displace_a_critical_one(lab: Lab) -> None:
    """However urgent it is."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    critical = asyncio.ensure_future(burst(lab, (0, 900), (1, 800)))
    await asyncio.sleep(0.01)
    (shed,) = rows(await burst(lab, (0, 600), critical=False))
    assert shed.reason is R.OVERLOAD
    assert [row.state for row in rows(await critical)] == [S.SUCCEEDED, S.SUCCEEDED]


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_one_whose_time_is_over_while_it_waits(lab: Lab) -> None:
    """The request's own end takes it out of the queue; it was never sent, and the next one takes its turn."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    first, late, last = rows(await burst(lab, (0, 900), (1, 60), (2, 900)))
    assert (first.state, last.state, last.started_after) == (S.SUCCEEDED, S.SUCCEEDED, ms(98))
    assert (late.state, late.reason, late.attempts) == (S.SKIPPED, R.NOT_STARTED_NO_TIME, ())


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_too_little_time_is_left_when_its_turn_comes(lab: Lab) -> None:
    """A place with less than 5 ms left is of no use: NOT_STARTED_NO_TIME, and the place goes on."""
    lab.worker("a").plays(ends(1, after=ms(72)))
    _, late = rows(await burst(lab, (0, 900), (0, 100)))
    assert (late.state, late.reason, len(lab.worker("a").calls)) == (S.SKIPPED, R.NOT_STARTED_NO_TIME, 1)


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_a_caller_that_goes_while_it_waits(lab: Lab) -> None:
    """Its place in the queue is free at once, and nobody is called for it."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    running = asyncio.ensure_future(burst(lab, (0, 900)))
    await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(burst(lab, (0, 900)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    await lab.settle()
    assert len(lab.books.of("a").queue) == 0
    await running
    assert len(lab.worker("a").calls) == 1


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_a_waiter_that_is_cancelled_in_the_step_of_its_turn(lab: Lab) -> None:
    """Granted and cancelled at once: the place goes to the next one in the queue, and none is lost."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    tasks = [asyncio.ensure_future(burst(lab, (0, 900 - number))) for number in (3, 2, 1)]
    first_done = asyncio.ensure_future(asyncio.wait([tasks[0]]))
    await asyncio.sleep(0.01)
    next_up = tasks[2]
    queue = lab.books.of("a").queue
    granted = queue._critical[0][2]
    wake = granted.payload

    def at_once() -> None:
        wake()
        next_up.cancel()

    granted.payload = at_once
    await first_done
    await asyncio.wait(tasks)
    assert next_up.cancelled()
    assert [task.cancelled() for task in tasks[:2]] == [False, False]
    assert (queue.running, len(queue), len(lab.worker("a").calls)) == (0, 0, 2)


@pytest.mark.fanmesh(conf({"endpoint_in_flight": 1}))
async def test_a_full_endpoint(lab: Lab) -> None:
    """The call moves on to the next endpoint; when all are full it is REJECTED/OVERLOAD, and does not wait."""
    lab.worker("a").plays(ends(1, after=ms(50))).replicas(2)
    found = rows(await burst(lab, (0, 900), (1, 900), (2, 900)))
    assert sorted(row.endpoint for row in found) == ["", "lab:a-0", "lab:a-1"]
    assert (found[2].state, found[2].reason, found[2].attempts) == (S.REJECTED, R.OVERLOAD, ())


@pytest.mark.fanmesh(conf({"rate": {"per_second": 2, "burst": 5}}))
async def test_the_rate_of_an_endpoint(lab: Lab) -> None:
    """Calls beyond it move on, and are REJECTED/RATE_LIMIT when there is nobody else; after a while there is room again."""
    lab.worker("a").plays(ends(1)).replicas(2)
    for refused in (2, 8):  # two endpoints with a burst of 5 each, and after a second 2 tokens for each
        found = rows(await burst(lab, *[(0, 900)] * 12))
        assert [row.reason for row in found if row.state is S.REJECTED] == [R.RATE_LIMIT] * refused
        await asyncio.sleep(1)


@pytest.mark.fanmesh(conf({"endpoint_in_flight": 1}, policy={"extends": "standard"}))
async def test_a_refused_retry_keeps_the_fault(lab: Lab) -> None:
    """The only other endpoint is full: the branch ends with its worker's fault, and the retry's price is given back."""
    lab.chance(0.0)
    one, two = lab.worker("a").replicas(2)
    one.plays(fails("UNAVAILABLE", "down", after=ms(10)))
    two.plays(hangs())
    lab.books.of("a").endpoint(two.address).in_flight.count = 1
    r = await lab.dispatch("p")
    lab.books.of("a").endpoint(two.address).in_flight.count = 0
    row = r.report["a"]
    assert (row.state, row.reason, row.detail, len(row.attempts)) == (S.FAILED, R.WORKER_ERROR, "down", 1)
    assert ([(d.what, d.why) for d in row.decisions], two.calls) == ([("refused", "overloaded")], [])
    assert lab.books.of("a").budget._given_sum == 0


@pytest.mark.fanmesh(conf({"in_flight": 2, "queue": 2}))
@pytest.mark.parametrize("script", [ends(1, after=ms(10)), fails("INTERNAL", after=ms(10)), hangs()])
async def test_every_place_comes_back(lab: Lab, script: Any) -> None:
    """Answers, failures, timeouts and refusals: nothing is out afterwards."""
    lab.worker("a").plays(script)
    await burst(lab, *[(number, 100) for number in range(8)])
    await lab.settle()
    queue = lab.books.of("a").queue
    assert (queue.running, len(queue)) == (0, 0)


@pytest.mark.fanmesh(conf({"in_flight": 4}))
async def test_a_limit_that_was_lowered(lab: Lab) -> None:
    """After a reload with a lower limit nobody who runs is stopped, and nobody new comes in before there is room."""
    lab.worker("a").plays(ends(1, after=ms(50)))
    running = asyncio.ensure_future(burst(lab, *[(0, 900)] * 3))
    await asyncio.sleep(0.01)
    old = lab.config.catalogue.plans["p"]
    node = old.nodes[0]
    worker = replace(node.worker, limit=replace(node.worker.limit, in_flight=2, queue=1))
    lab.config.catalogue.plans["p"] = replace(old, nodes=(replace(node, worker=worker),))
    reloaded(lab.books, {"a": worker})
    later = rows(await burst(lab, (0, 900), (1, 800)))
    assert [row.state for row in rows(await running)] == [S.SUCCEEDED] * 3
    assert [row.state for row in later] == [S.REJECTED, S.SUCCEEDED]
