from dataclasses import replace

import pytest

from fanmesh.model.coverage import Coverage, Degraded
from fanmesh.model.merge import Conflict
from fanmesh.model.report import AttemptReport, BranchReport, Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import MS
from fanmesh.model.usage import Usage
from fanmesh.reporting import (
    SUMMARY_LIMIT,
    duration,
    from_branch,
    from_report,
    from_summary,
    nanoseconds,
    to_branch,
    to_report,
    to_summary,
    worst,
)
from fanmesh.v1 import report_pb2

ATTEMPT = AttemptReport(
    1, AttemptKind.RETRY, "h:1", 3 * MS, 4 * MS, 14, "gone", won=True, cancelled=True, usage=Usage(1, 2, 3), worker="other"
)
BRANCH = BranchReport(
    "geo",
    "geo_worker",
    BranchState.DEFAULTED,
    BranchReason.SOFT_TIMEOUT,
    endpoint="h:1",
    code=4,
    detail="late",
    attempts=(ATTEMPT,),
    started_after=0,
    elapsed=5 * MS + 1,
    queued=2,
    required=True,
    weight=2.5,
    sla_met=False,
    confidence=0.0,
    usage=Usage(1, 2, 3),
    merged=True,
    span_id="00f067aa0ba902b7",
)
REPORT = Report(
    "r1",
    "enrich",
    CompletedBy.SOFT_TIMEOUT,
    Coverage(0.5, 1.0, 2.0, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0),
    (BRANCH, BranchReport("phone", "phone", BranchState.SUCCEEDED)),
    Degraded(soft_timeout=True, defaulted=True),
    complete=False,
    route="default",
    config_version="abc",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    conflicts=(Conflict("country", {"geo": "FR", "phone": {"code": "DE"}}, "phone"),),
    elapsed=301 * MS,
    aggregator_mode=AggregatorMode.FELL_BACK,
    critical_path=("geo",),
)


def test_a_report_survives_the_wire() -> None:
    """Every field of every noun comes back as it went, unset ones unset."""
    wire = to_report(REPORT).SerializeToString()
    assert from_report(report_pb2.Report.FromString(wire)) == REPORT


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_000_000_000, 3_600_000_000_001])
def test_durations_are_exact(ns: int) -> None:
    """No nanosecond is lost."""
    assert nanoseconds(duration(ns)) == ns


def test_every_state_and_reason_has_a_place_on_the_wire() -> None:
    """The nouns' numbers are the protocol's."""
    for state in BranchState:
        for reason in BranchReason:
            row = BranchReport("b", "w", state, reason)
            assert from_branch(report_pb2.BranchReport.FromString(to_branch(row).SerializeToString())) == row


def test_a_conflict_over_a_number_too_large_is_reported_as_text() -> None:
    """A report never fails over a value in it."""
    row = replace(REPORT, conflicts=(Conflict("id", {"a": 2**60, "b": [2**60]}, ""),))
    assert from_report(to_report(row)).conflicts[0].values == {"a": str(2**60), "b": str([2**60])}


def test_the_worst_branches_come_first() -> None:
    """Required failures explain most, answers least; otherwise plan order."""
    rows = [
        BranchReport("ok", "w", BranchState.SUCCEEDED, required=True),
        BranchReport("skipped", "w", BranchState.SKIPPED),
        BranchReport("failed", "w", BranchState.FAILED),
        BranchReport("failed2", "w", BranchState.FAILED),
        BranchReport("needed", "w", BranchState.TIMED_OUT, required=True),
    ]
    assert [b.branch for b in worst(rows)] == ["needed", "failed", "failed2", "skipped", "ok"]


def test_a_small_report_is_summed_up_without_loss() -> None:
    """Nothing is cut where nothing needs to be; attempts are never part of it."""
    summary = to_summary(REPORT)
    assert not summary.truncated
    back = from_summary(summary)
    assert back.branches == (BRANCH._replace(attempts=()), REPORT.branches[1])
    assert (back.coverage, back.degraded, back.elapsed) == (REPORT.coverage, REPORT.degraded, REPORT.elapsed)


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f600"])
def test_a_summary_stays_within_its_limit(letter: str) -> None:
    """However many branches and however long the texts: 4 KB, and it says that it was cut."""
    text = letter * 5000
    row = BRANCH._replace(branch=text, worker=text, endpoint=text, detail=text, state=BranchState.FAILED)
    big = replace(REPORT, branches=(row,) * 50, request_id=text, plan=text)
    summary = to_summary(big)
    assert summary.ByteSize() <= SUMMARY_LIMIT
    assert summary.truncated
    assert summary.worst


def test_more_than_eight_branches_are_cut_to_the_worst() -> None:
    """Eight rows, and the flag."""
    rows = tuple(BranchReport(f"b{n}", "w", BranchState.FAILED if n > 5 else BranchState.SUCCEEDED) for n in range(12))
    summary = to_summary(replace(REPORT, branches=rows))
    assert [b.branch for b in summary.worst] == ["b6", "b7", "b8", "b9", "b10", "b11", "b0", "b1"]
    assert summary.truncated
