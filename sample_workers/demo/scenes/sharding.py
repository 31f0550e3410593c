"""Claim 14: a part of the corpus may be gone; the rest is searched as before, and the answer says how much was searched."""

from __future__ import annotations

from typing import Any

from fanmesh.cli.bars import ratio, time
from fanmesh.model.times import MS, SECOND
from fanmesh.result import BranchEvent
from fanmesh.runtime.clock import now_ns, sleep
from sample_workers.demo import cast, plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import Answer, World

ASKED = {"q": "Small mouth"}
VICTIM = "shard_2"
LATENCY = 1500 * MS
BACK_WITHIN = 15 * SECOND
"""How long the dispatcher may take to find the new process; connections are tried again every 2 s at most."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    whole = await world.call(world.embedded, plans.SHARDED, ASKED)
    process = world.processes[VICTIM]
    started: set[str] = set()
    killed = False

    async def kill(event: BranchEvent) -> None:
        nonlocal killed
        started.add(event.branch.branch)
        if not killed and started >= set(cast.SHARDS):
            killed = True
            await process.kill()

    try:
        answer = await world.follow(world.embedded, plans.SHARDED, kill, ASKED)
    finally:
        await world.restart(VICTIM)
    report = answer.report
    stage.waterfall(report, answer.status or None)
    kept = [item for item in whole.value if VICTIM not in item["scores"]]
    stage.true("the process was killed mid-request", killed, f"all {len(started)} calls had been sent")
    stage.same("before, the coverage", whole.report.coverage.ratio, 1.0)
    stage.same("the call", answer.status or "OK", "OK")
    stage.same("missing", report.missing, (VICTIM,))
    stage.same("coverage, by weight", ratio(report.coverage.ratio), ratio(2 / 3))
    stage.true("in time", report.elapsed < LATENCY, f"{time(report.elapsed)} of {time(LATENCY)}")
    _compare(stage, kept, answer.value or [])
    back = await _until_whole(world)
    stage.same("a new process on that port: coverage", back.report.coverage.ratio, 1.0)
    stage.true("its result, and that of before", back.value == whole.value, "equal" if back.value == whole.value else "not")


def _compare(stage: Stage, kept: list[Any], left: list[Any]) -> None:
    """What the other shards had said before comes first in what they say now, with the same scores."""
    same = left[: len(kept)] == kept
    stage.true(f"the {len(kept)} hits of the other shards, and what comes after them", same and len(left) == 10, "as before")


async def _until_whole(world: World) -> Answer:
    until = now_ns() + BACK_WITHIN
    while True:
        answer = await world.call(world.embedded, plans.SHARDED, ASKED)
        if (not answer.status and answer.report.complete) or now_ns() > until:
            return answer
        await sleep(100 * MS)
