"""The report of a request: written once, at the end, from the branches' books, the verdict and the merged result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from dispatcher.flow.rows import row_of
from dispatcher.flow.run import Run
from dispatcher.layers.types import BranchRun
from fanmesh.model.coverage import degraded
from fanmesh.model.endings import SATISFIES, leaf_fails, with_default
from fanmesh.model.events import Result, Verdict
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.usage import NOTHING

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
STREAM_BROKEN: Final = BranchReason.STREAM_BROKEN

MOST_ROWS: Final = 50
"""A report with more rows than that for one branch helps nobody, and is paid for by every request."""


def report_of(run: Run, route: str, version: str, verdict: Verdict, result: Result | None, now: int) -> Report:
    """Everything that can be said. Without a result (the caller has gone) the coverage is counted here."""
    merged = frozenset(result.merged) if result is not None else frozenset()
    decided = run.request.arrived + verdict.at
    rows: list[BranchReport] = []
    bits: list[tuple[BranchState, BranchReason, bool]] = []
    for branch in run.branches:
        own = branch.node.id in merged
        if branch.node.each is None:
            rows.append(row := row_of(branch, decided, merged=own))
            bits.append((row.state, row.reason, own and row.reason is STREAM_BROKEN and not branch.node.whole_only))
            continue
        each = [row_of(one, decided, merged=own and _given(one)) for one in run.leaves(branch) or (branch,)]
        bits += [(row.state, row.reason, row.merged and row.reason is STREAM_BROKEN) for row in each]
        rows += each if len(each) <= MOST_ROWS else folded(row_of(branch, decided, merged=own), each)
    missing = degraded(bits)
    return Report(
        request_id=run.request.id,
        plan=run.plan.name,
        completed_by=verdict.completed_by,
        coverage=result.coverage if result is not None else run.coverage(),
        branches=tuple(rows),
        degraded=missing,
        complete=verdict.accepted and not missing and not (result is not None and result.error),
        route=route,
        config_version=version,
        trace_id=run.request.trace.trace_id,
        conflicts=result.conflicts if result is not None else (),
        elapsed=now - run.request.arrived,
        aggregator_mode=run.session.mode,
        critical_path=_critical_path(rows),
    )


def _given(run: BranchRun) -> bool:
    """Whether it is part of what its node has given: a leaf that answered, or whose broken stream was kept."""
    if run.parent is None or with_default(run.state, run.reason, run.if_missing) in SATISFIES:
        return True
    return run.reason is BranchReason.STREAM_BROKEN and not run.node.whole_only


def folded(node: BranchReport, leaves: list[BranchReport]) -> list[BranchReport]:
    """One row for a node of very many items, with how they have ended, and those that failed; of these so many, too."""
    counts = Counter(row.state.name for row in leaves)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    usage = NOTHING
    for row in leaves:
        usage = usage + row.usage
    ends = [row.started_after + row.elapsed for row in leaves if row.started_after is not None and row.elapsed is not None]
    last = max(ends, default=None)
    took = None if last is None or node.started_after is None else last - node.started_after
    whole = node._replace(detail=f"{len(leaves)} items: {told}", usage=usage, elapsed=took)
    return [whole, *[row for row in leaves if leaf_fails(row.state, row.reason)][:MOST_ROWS]]


def _critical_path(rows: Sequence[BranchReport]) -> tuple[str, ...]:
    """The branch that was the last to end, or to be cut: the one to make faster. Ties: plan order."""
    last, latest = "", -1
    for row in rows:
        if row.started_after is not None and row.elapsed is not None and row.started_after + row.elapsed > latest:
            last, latest = row.branch, row.started_after + row.elapsed
    return (last,) if last else ()
