"""Claim 2: a worker that hangs costs its soft timeout and its own answer. With `asyncio.gather` it costs all of them."""

from __future__ import annotations

from fanmesh.cli.bars import ratio, time
from fanmesh.cli.tones import Tone
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchState
from fanmesh.model.times import MS
from sample_workers.demo import cast, plans
from sample_workers.demo.gathering import gather
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import CONTACT, World

TIMEOUT = 1.5
"""Seconds that gather gives its calls: the plan's latency."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    answer = await world.call(world.embedded, plans.HANGS)
    report = answer.report
    stage.waterfall(report)
    hung = report["ip"]
    answered = {branch.branch for branch in report.branches if branch.state is BranchState.SUCCEEDED}
    stage.same("ip", f"{hung.state.name}/{hung.reason.name}", "DEFAULTED/SOFT_TIMEOUT")
    stage.same("completed by", report.completed_by.name, "SOFT_TIMEOUT")
    stage.same("who answered", answered, set(cast.BRANCHES) - {"ip"})
    said = not report.complete and 0.5 < report.coverage.ratio < 1
    stage.true("it says that it is partial", said, f"not complete, coverage {ratio(report.coverage.ratio)}")

    span = (await world.worker_spans(report, {"ip"})).get("ip")
    if span is None:
        stage.true("ip's worker saw the cancel", False, "it recorded nothing")
    else:
        lasted, own = span.end - span.start, int(span.attributes.get("fanmesh.remaining_ms", 0)) * MS
        after = lasted - (hung.elapsed or 0)
        early = span.code == "CANCELLED" and lasted < own
        stage.true(
            "ip's worker saw the cancel",
            early,
            f"{span.code} {max(after, 0) / MS:.0f} ms after it was left behind; it had {time(own)}",
        )

    workers = {branch: (branch, world.addresses[branch][0]) for branch in cast.BRANCHES}
    workers["ip"] = (cast.HANGING, world.addresses[cast.HANGING][0])
    gathered = await gather(workers, world.contacts[CONTACT], TIMEOUT)
    stage.line(f"   the same workers with asyncio.gather: {gathered.code.name} after {time(gathered.took)}", Tone.QUIET)
    stage.same("gather ended with", gathered.code.name, Code.DEADLINE_EXCEEDED.name)
    stage.true("gather returned", gathered.answers is None, f"nothing; {len(gathered.lost)} answers were there, and are lost")
    stage.true("Fanmesh was there first", answer.took < gathered.took, f"{time(answer.took)} against {time(gathered.took)}")
