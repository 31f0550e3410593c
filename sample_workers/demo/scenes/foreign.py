"""Claim 15: any gRPC service can be a branch, as it is: nothing is generated for it, and nothing in it is changed."""

from __future__ import annotations

from fanmesh.cli.tones import Tone
from sample_workers.demo import cast, plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World

ASKED = {"q": "Photodysphoria"}
RIGHT = "HP:0000613 Photophobia"
"""A clinical synonym, which no engine indexes."""
WORDLESS = {"q": "?!"}


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    without = await world.call(world.embedded, plans.FEDERATED, ASKED)
    answer = await world.call(world.embedded, plans.WIDENED, ASKED)
    report = answer.report
    stage.waterfall(report, answer.status or None)
    stranger = report[cast.STRANGER]
    items = [f"{item['key']} {item['hit']['title']}" for item in answer.value or []]
    before = [f"{item['key']} {item['hit']['title']}" for item in without.value or []]
    stage.line(f"   without it, 1st: {before[0] if before else 'nothing'}", Tone.QUIET)
    stage.same("complete", report.complete, expected=True)
    stage.same("its answer was merged", stranger.merged, expected=True)
    stage.true("without it, the right finding is not found", RIGHT not in before, f"{len(before)} others")
    stage.same("with it, the first is", items[0] if items else "nothing", RIGHT)
    stage.same("whose place in its own list is", answer.value[0]["ranks"].get(cast.STRANGER) if items else None, 1)
    refused = await world.call(world.embedded, plans.WIDENED, WORDLESS)
    said = refused.report[cast.STRANGER]
    told = f"{said.state.name}/{said.reason.name} {said.detail}"
    stage.same("its own errors are reported as its own", told, "FAILED/WORKER_ERROR phrase: no word in it")
    stage.same("and are not tried again", len(said.attempts), 1)
