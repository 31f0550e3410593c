"""The report of a request: written once, at the end, from the branches' books, the verdict and the merged result."""

from __future__ import annotations

from dispatcher.flow.rows import row_of
from dispatcher.flow.run import Run
from fanmesh.model.coverage import Coverage, Tally, cover, degraded
from fanmesh.model.events import Result, Verdict
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason


def report_of(run: Run, route: str, version: str, verdict: Verdict, result: Result | None, now: int) -> Report:
    """Everything that can be said. Without a result (the caller has gone) the coverage is counted here."""
    merged = frozenset(result.merged) if result is not None else frozenset()
    decided = run.request.arrived + verdict.at
    rows = tuple([row_of(branch, decided, merged=branch.node.id in merged) for branch in run.runs])
    bits = degraded(
        (row.state, row.reason, row.merged and row.reason is BranchReason.STREAM_BROKEN and not branch.node.whole_only)
        for row, branch in zip(rows, run.runs, strict=True)
    )
    return Report(
        request_id=run.request.id,
        plan=run.plan.name,
        completed_by=verdict.completed_by,
        coverage=result.coverage if result is not None else _coverage(rows),
        branches=rows,
        degraded=bits,
        complete=verdict.accepted and not bits and not (result is not None and result.error),
        route=route,
        config_version=version,
        trace_id=run.request.trace.trace_id,
        conflicts=result.conflicts if result is not None else (),
        elapsed=now - run.request.arrived,
        aggregator_mode=run.session.mode,
        critical_path=_critical_path(rows),
    )


def _coverage(rows: tuple[BranchReport, ...]) -> Coverage:
    return cover(Tally(row.state, row.reason, row.weight, row.started_after is not None) for row in rows)


def _critical_path(rows: tuple[BranchReport, ...]) -> tuple[str, ...]:
    """The branch that was the last to end, or to be cut: the one to make faster. Ties: plan order."""
    last, latest = "", -1
    for row in rows:
        if row.started_after is not None and row.elapsed is not None and row.started_after + row.elapsed > latest:
            last, latest = row.branch, row.started_after + row.elapsed
    return (last,) if last else ()
