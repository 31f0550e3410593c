"""Claim 4: an answer that cannot be read is that branch's failure, and nobody else's."""

from __future__ import annotations

from sample_workers.demo import plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    answer = await world.call(world.embedded, plans.LIES)
    report = answer.report
    stage.waterfall(report)
    email = report["email"]
    merged = {branch.branch for branch in report.branches if branch.merged}
    stage.same("email", f"{email.state.name}/{email.reason.name}", "FAILED/INVALID_RESPONSE")
    stage.same("the call", answer.status or "OK", "OK")
    stage.same("complete", report.complete, expected=False)
    stage.same("missing", report.missing, ("email",))
    stage.same("merged", merged, {branch.branch for branch in report.branches} - {"email"})
    less = {key: value for key, value in world.reference.items() if key not in ("email", "tags")}
    seen = {key: value for key, value in answer.value.items() if key != "tags"}
    stage.true("the rest is what it was in claim 1", seen == less, ", ".join(seen))
