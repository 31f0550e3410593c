"""Claim 11: when all of a worker fails, retries add a fifth to its load, and do not multiply it by three."""

from __future__ import annotations

from fanmesh.cli.bars import ratio
from fanmesh.model.times import SECOND
from sample_workers.demo import cast, plans
from sample_workers.demo.collector import Span
from sample_workers.demo.load import decided, load, rows, stood_in, tries
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World

CALLS = 300
CALLERS = 10
MOST = 3
"""Attempts of the policy `standard`."""
SHARE = 0.2
FREE = 10
"""Retries that its budget gives beside the share: one a second, of the last ten seconds."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    answers = await load(world, plans.RETRIES, range(CALLS), callers=CALLERS, traced=True)
    stage.waterfall(next((a.report for a in answers if len(a.report["tax_id"].attempts) == MOST), answers[0].report))
    sent = len(tries(answers))
    seconds = (max(answer.sent + answer.took for answer in answers) - answers[0].sent) // SECOND + 1
    most = round(CALLS * (1 + SHARE)) + FREE + seconds
    stage.line(f"   without a budget each of the {CALLS} calls would be sent {MOST} times: {CALLS * MOST}")
    stage.true(f"with one, at most {most} are sent", CALLS < sent <= most, f"{sent}, {ratio(sent / CALLS)} for each call")

    def theirs(span: Span) -> bool:
        return span.kind == "SERVER" and span.service in cast.REPLICAS and span.attributes.get("fanmesh.plan") == plans.RETRIES

    counted = await world.collector.find(theirs, lambda spans: len(spans) >= sent)
    stage.same("the replicas counted", len(counted), sent)
    failed = sum(span.code == "UNAVAILABLE" for span in counted)
    stage.same("and failed", failed, sent)
    without = sum(len(row.attempts) < MOST for row in rows(answers))
    stage.same("calls whose report says that the budget denied a retry", decided(answers, "retry_denied", "budget"), without)
    stage.same("partial answers, with tax_id's default in each", stood_in(answers), CALLS)
