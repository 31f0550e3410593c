"""Claim 1: with nothing wrong, the answer is whole, and disagreement between workers is shown instead of settled in silence."""

from __future__ import annotations

from typing import Any

from fanmesh.cli.tones import Tone
from fanmesh.model.merge import Conflict
from fanmesh.model.report import Report
from sample_workers.demo import cast, plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import CONTACT, World

DOUBTFUL = {"c22": {"ip"}, "c24": {"phone", "tax_id", "place", "ip"}}
"""Contacts whose countries contradict each other, and branches that must be among those that say so."""
SHOWN = ("country", "phone.e164", "place.city", "ip.operator", "holiday.name", "rates.eur")
"""Of the merged answer, one thing from each kind of worker."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    answer = await world.call(world.embedded, plans.BASE)
    report = answer.report
    stage.waterfall(report)
    stage.line(f"   → {' · '.join(str(found) for path in SHOWN if (found := _at(answer.value, path)) is not None)}")
    stage.same("complete", report.complete, expected=True)
    stage.same("completed by", report.completed_by.name, "ALL")
    stage.same("coverage", report.coverage.ratio, 1.0)
    stage.same(f"branches that answered, of {len(report.branches)}", report.coverage.succeeded, len(cast.BRANCHES))
    stage.same(f"conflicts of {CONTACT}, which is sound", _conflicts(report), ())
    for contact, expected in DOUBTFUL.items():
        doubtful = await world.call(world.embedded, plans.BASE, contact)
        stage.claim.reports.append(doubtful.report)
        said = {branch for conflict in doubtful.report.conflicts if conflict.path == "country" for branch in conflict.values}
        stage.line(f"   {contact}: {world.contacts[contact]['about']}", Tone.QUIET)
        stage.true("report.conflicts", said >= expected, _conflicts(doubtful.report) or "none")


def _at(value: Any, path: str) -> object:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _conflicts(report: Report) -> tuple[str, ...]:
    return tuple(map(_told, report.conflicts))


def _told(conflict: Conflict) -> str:
    said = ", ".join(f"{branch} {conflict.values[branch]}" for branch in cast.BRANCHES if branch in conflict.values)
    return f"{conflict.path}: {said} → {conflict.chosen}"
