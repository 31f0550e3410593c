"""Claim 8: one trace holds it all, from the caller to every worker, and the merge is linked to the answers it used."""

from __future__ import annotations

from sample_workers.demo import cast, plans
from sample_workers.demo.collector import Span, Trace
from sample_workers.demo.stage import Stage
from sample_workers.demo.tree import draw, roots
from sample_workers.demo.world import World

WHOLE = 3 + 2 * len(cast.BRANCHES)
"""Spans: the client, the request, the aggregator, and for each branch the call and the worker's side of it."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    with world.collector.client_span("fanmesh.v1.DispatcherService/Dispatch") as headers:
        answer = await world.call(world.remote, plans.HANGS, metadata=headers)
    report = answer.report
    stage.claim.reports.append(report)
    spans = await world.collector.trace(report.trace_id, lambda found: len(found) >= WHOLE)
    for line in draw(spans, 97):
        stage.line(f"   {line}")

    stage.same("the trace is the caller's", report.trace_id, headers["traceparent"][3:35])
    stage.same("roots, without a lost or foreign parent", [span.service for span in roots(spans)], ["demo"])
    stage.same(f"spans, from {len({span.service for span in spans})} processes", len(spans), WHOLE)
    calls = {span.id: span for span in spans if span.name.startswith("branch ")}
    answered = [span.branch for span in spans if span.kind == "SERVER" and span.parent in calls]
    stage.same("branches with their worker's span below", set(answered), set(cast.BRANCHES))
    merge = next((span for span in spans if span.name.endswith("/Aggregate")), None)
    used = {branch.branch for branch in report.branches if branch.merged and branch.span_id}
    stage.true(
        "the aggregator's span is linked to what it merged", merge is not None and _linked(merge, calls) == used, sorted(used)
    )
    stage.same("the hung worker, in its own span", _worker(spans, "ip"), "CANCELLED")


def _linked(merge: Span, calls: dict[str, Span]) -> set[str]:
    return {calls[link].branch if link in calls else link for link in merge.links}


def _worker(spans: Trace, branch: str) -> str:
    return next((span.code for span in spans if span.kind == "SERVER" and span.branch == branch), "no span")
