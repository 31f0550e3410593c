"""Claim 3: when the answer cannot be had any more, the caller hears so at once, and nobody goes on working for it."""

from __future__ import annotations

from fanmesh.cli.bars import time
from fanmesh.model.states import BranchState
from fanmesh.result import BranchEvent
from sample_workers.demo import cast, plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World

LIMIT_MS = 1200
"""What phone could have taken."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    process = world.processes["doomed"]
    started: set[str] = set()
    killed = False

    async def kill(event: BranchEvent) -> None:
        nonlocal killed
        started.add(event.branch.branch)
        if not killed and started >= set(cast.BRANCHES):
            killed = True
            await process.kill()

    answer = await world.follow(world.embedded, plans.DIES, kill)
    report = answer.report
    stage.waterfall(report, answer.status)
    phone = report["phone"]
    cancelled = [branch.branch for branch in report.branches if branch.state is BranchState.CANCELLED]
    stage.true("the process was killed mid-request", killed, f"all {len(started)} calls had been sent")
    stage.same("the call failed", answer.status, "UNAVAILABLE COMPLETION_UNREACHABLE")
    stage.same("phone", f"{phone.state.name}/{phone.reason.name}", "FAILED/WORKER_ERROR")
    kinds = [attempt.kind.name.lower() for attempt in phone.attempts]
    stage.true("phone was tried again first, in vain", kinds[:2] == ["first", "retry"], kinds)
    stage.same("completed by", report.completed_by.name, "UNREACHABLE")
    stage.true(
        "at once, not at phone's time limit", report.elapsed < LIMIT_MS * 1_000_000, f"{time(report.elapsed)} of {LIMIT_MS} ms"
    )
    spans = await world.worker_spans(report, set(cancelled))
    saw = [name for name in cancelled if name in spans and spans[name].code == "CANCELLED"]
    stage.true("siblings cancelled, and their workers saw it", bool(saw) and saw == cancelled, saw)
