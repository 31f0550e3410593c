"""Claim 1: with nothing wrong, the answer is whole, and disagreement between workers is shown instead of settled in silence."""

from __future__ import annotations

from fanmesh.cli.say import result
from fanmesh.model.report import Report
from sample_workers.demo import plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import CONTACT, World

DOUBTFUL = {"c22": {"ip"}, "c24": {"phone", "tax_id", "place", "ip"}}
"""Contacts whose countries contradict each other, and branches that must be among those that say so."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    answer = await world.call(world.embedded, plans.BASE)
    report = answer.report
    stage.waterfall(report)
    stage.line(f"   → {_brief(answer.value)}")
    stage.same("complete", report.complete, expected=True)
    stage.same("completed by", report.completed_by.name, "ALL")
    stage.same("coverage", report.coverage.ratio, 1.0)
    stage.same(f"branches that answered, of {len(report.branches)}", report.coverage.succeeded, 7)
    stage.same(f"conflicts of {CONTACT}, a sound contact", _conflicts(report), ())
    for contact, expected in DOUBTFUL.items():
        doubtful = await world.call(world.embedded, plans.BASE, contact)
        stage.claim.reports.append(doubtful.report)
        said = {branch for conflict in doubtful.report.conflicts if conflict.path == "country" for branch in conflict.values}
        about = world.contacts[contact]["about"]
        stage.true(f"{contact} ({about})", said >= expected, _conflicts(doubtful.report) or "no conflict")


def _conflicts(report: Report) -> tuple[str, ...]:
    return tuple(
        f"{conflict.path} {' ≠ '.join(f'{branch} {value}' for branch, value in conflict.values.items())} → {conflict.chosen}"
        for conflict in report.conflicts
    )


def _brief(value: dict[str, object]) -> str:
    text = " ".join(result(value, 10_000).split())
    return text if len(text) <= 90 else f"{text[:89]}…"
