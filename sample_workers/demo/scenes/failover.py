"""Claim 5: losing the aggregator in the middle of a request costs nothing but its use: not the request, not the result."""

from __future__ import annotations

from fanmesh.cli.bars import time
from fanmesh.model.states import AggregatorMode, BranchState
from fanmesh.model.times import MS, SECOND
from fanmesh.result import BranchEvent
from fanmesh.runtime.clock import now_ns, sleep
from sample_workers.demo import plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import Answer, World

LATENCY = 1500 * MS
"""The plan's: when the reply is due."""
FOUND_WITHIN = 15 * SECOND
"""How long the dispatcher may take to find a new aggregator; its connections are tried again every 2 s at most."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    try:
        await _kill(world, stage)
    finally:
        await world.restart("aggregator")
    back = await _until_remote(world)
    here = await world.call(world.embedded, plans.BASE)
    stage.same("a new aggregator on that port: the mode", back.report.aggregator_mode.name, "REMOTE")
    stage.true("its result, and that merged in the dispatcher", back.value == here.value, _same(back.value == here.value))
    alike = _essence(back) == _essence(here)
    stage.true("the reports, but for times, ids and mode", alike, _same(alike))


async def _kill(world: World, stage: Stage) -> None:
    aggregator = world.processes["aggregator"]
    killed_at: list[str] = []

    async def kill(event: BranchEvent) -> None:
        if not killed_at and event.branch.state is BranchState.SUCCEEDED:
            killed_at.append(event.branch.branch)
            await aggregator.kill()

    answer = await world.follow(world.remote, plans.PACED, kill)
    report = answer.report
    stage.waterfall(report, answer.status or None)
    running = [b.branch for b in report.branches if killed_at and b.branch not in killed_at]
    stage.true("killed mid-request", bool(killed_at), f"after {', '.join(killed_at)}, with {len(running)} still to come")
    stage.same("the report says", f"AGGREGATOR_MODE_{report.aggregator_mode.name}", "AGGREGATOR_MODE_FELL_BACK")
    stage.true("the reply came on time", report.elapsed < LATENCY, f"{time(report.elapsed)} of {time(LATENCY)}")
    stage.same("completed by", report.completed_by.name, "ALL")
    stage.true("its result, and that of claim 1", answer.value == world.reference, _same(answer.value == world.reference))


async def _until_remote(world: World) -> Answer:
    until = now_ns() + FOUND_WITHIN
    while True:
        answer = await world.call(world.remote, plans.BASE)
        if answer.report.aggregator_mode is AggregatorMode.REMOTE or now_ns() > until:
            return answer
        await sleep(100 * MS)


def _essence(answer: Answer) -> object:
    report = answer.report
    rows = [(b.branch, b.state, b.reason, b.merged, b.confidence) for b in report.branches]
    return report.completed_by, report.coverage, report.degraded, report.conflicts, rows


def _same(equal: bool) -> str:  # noqa: FBT001  (the result of a comparison)
    return "equal" if equal else "they differ"
