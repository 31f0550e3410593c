"""Report ⇄ protobuf, and the summary of a report that fits into an error.

By hand and field by field, not by reflection: a report is written for every request, and the nouns are ours to change without
the wire noticing. Messages are filled where they will stand, because putting a finished one into another copies it, and fields
are set one by one, which costs half of naming them all to a constructor; what is proto's default already is not set.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration

from fanmesh.jsontext import PayloadError
from fanmesh.model.coverage import UNDEGRADED, Coverage, Degraded
from fanmesh.model.merge import Conflict
from fanmesh.model.report import AttemptReport, BranchReport, PolicyDecision, Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import SECOND
from fanmesh.model.usage import NOTHING, Usage
from fanmesh.model.values import JsonValue
from fanmesh.structs import from_struct_value, to_struct_value
from fanmesh.v1 import payload_pb2, report_pb2

_BITS: Final = tuple(Degraded.__slots__)
_COUNTS: Final = Coverage._fields


E = TypeVar("E", bound=IntEnum)


def _number(member: IntEnum) -> Any:
    """A member as the number that its protobuf twin is at run time; the stubs believe in a class there."""
    return int(member)


def _member(kind: type[E], number: int, unknown: E) -> E:
    """The member of this number. A newer dispatcher may know more of them than we do."""
    try:
        return kind(number)
    except ValueError:
        return unknown


def duration(ns: int) -> Duration:
    """Nanoseconds as a Duration."""
    return Duration(seconds=ns // SECOND, nanos=ns % SECOND)


def nanoseconds(span: Duration) -> int:
    """A Duration as nanoseconds."""
    return span.seconds * SECOND + span.nanos


def from_usage(usage: payload_pb2.Usage) -> Usage:
    """Protobuf → Usage."""
    return Usage(usage.input_tokens, usage.output_tokens, usage.cost_usd_micros)


def to_coverage(coverage: Coverage) -> report_pb2.Coverage:
    """Coverage → protobuf."""
    out = report_pb2.Coverage()
    _write_coverage(coverage, out)
    return out


def _write_coverage(coverage: Coverage, out: report_pb2.Coverage) -> None:
    out.SetInParent()
    for name, value in zip(_COUNTS, coverage, strict=True):
        if value:
            setattr(out, name, value)


def from_coverage(coverage: report_pb2.Coverage) -> Coverage:
    """Protobuf → Coverage."""
    return Coverage(*(getattr(coverage, name) for name in _COUNTS))


def to_degraded(degraded: Degraded) -> report_pb2.Degraded:
    """Degraded → protobuf."""
    return report_pb2.Degraded(**dict.fromkeys(degraded.names(), True))


def from_degraded(degraded: report_pb2.Degraded) -> Degraded:
    """Protobuf → Degraded."""
    return Degraded(**{name: getattr(degraded, name) for name in _BITS})


def to_conflict(conflict: Conflict) -> report_pb2.Conflict:
    """Conflict → protobuf. A value that a double cannot say is written as text: a report must not fail over a number."""
    out = report_pb2.Conflict(path=conflict.path, chosen=conflict.chosen)
    for branch, value in conflict.values.items():
        _conflicting(value, out, branch)
    return out


def _conflicting(value: JsonValue, out: report_pb2.Conflict, branch: str) -> None:
    try:
        out.values[branch].CopyFrom(to_struct_value(value))
    except PayloadError:
        out.values[branch].string_value = str(value)


def from_conflict(conflict: report_pb2.Conflict) -> Conflict:
    """Protobuf → Conflict."""
    return Conflict(conflict.path, {branch: from_struct_value(v) for branch, v in conflict.values.items()}, conflict.chosen)


def _write_duration(ns: int, out: Duration) -> None:
    if 0 <= ns < SECOND:
        out.nanos = ns  # also where it is 0: the field is there
    else:
        out.seconds, out.nanos = divmod(ns, SECOND)


def _write_usage(usage: Usage, out: payload_pb2.Usage) -> None:
    out.input_tokens = usage.input_tokens
    out.output_tokens = usage.output_tokens
    out.cost_usd_micros = usage.cost_usd_micros


def to_attempt(attempt: AttemptReport) -> report_pb2.AttemptReport:
    """AttemptReport → protobuf."""
    out = report_pb2.AttemptReport()
    _write_attempt(attempt, out, "")
    return out


def _write_attempt(attempt: AttemptReport, out: report_pb2.AttemptReport, owner: str) -> None:
    number, kind, endpoint, started_after, elapsed, code, fault, won, cancelled, usage, worker = attempt
    out.kind = _number(kind)
    out.endpoint = endpoint
    _write_duration(started_after, out.started_after)
    _write_duration(elapsed, out.elapsed)
    if won:
        out.won = True
    if number:
        out.number = number
    if code:
        out.code = code
    if fault:
        out.fault = fault
    if cancelled:
        out.cancelled = True
    if usage is not NOTHING and usage:
        _write_usage(usage, out.usage)
    if worker != owner:
        out.worker = worker


def from_attempt(attempt: report_pb2.AttemptReport, owner: str = "") -> AttemptReport:
    """Protobuf → AttemptReport. `owner`: the worker of its branch."""
    return AttemptReport(
        number=attempt.number,
        kind=_member(AttemptKind, attempt.kind, AttemptKind.FIRST),
        endpoint=attempt.endpoint,
        started_after=nanoseconds(attempt.started_after),
        elapsed=nanoseconds(attempt.elapsed),
        code=attempt.code,
        fault=attempt.fault,
        won=attempt.won,
        cancelled=attempt.cancelled,
        usage=from_usage(attempt.usage),
        worker=attempt.worker or owner,
    )


def to_branch(branch: BranchReport) -> report_pb2.BranchReport:
    """BranchReport → protobuf."""
    out = report_pb2.BranchReport()
    _write_branch(branch, out)
    return out


def _write_branch(branch: BranchReport, out: report_pb2.BranchReport) -> None:
    out.branch = branch.branch
    out.worker = branch.worker
    out.endpoint = branch.endpoint
    out.state = _number(branch.state)
    out.weight = branch.weight
    if branch.reason:
        out.reason = _number(branch.reason)
    if branch.item is not None:
        out.item = branch.item
        out.item_key = branch.item_key
    if branch.required:
        out.required = True
    if branch.merged:
        out.merged = True
    if branch.span_id:
        out.span_id = branch.span_id
    if (confidence := branch.confidence) is not None:
        out.confidence = confidence
    if (sla_met := branch.sla_met) is not None:
        out.sla_met = sla_met
    if branch.code or branch.detail:
        out.status.code = branch.code
        out.status.message = branch.detail
    if (started_after := branch.started_after) is not None:
        _write_duration(started_after, out.started_after)
    if (elapsed := branch.elapsed) is not None:
        _write_duration(elapsed, out.elapsed)
    if branch.queued:
        _write_duration(branch.queued, out.queued)
    if (usage := branch.usage) is not NOTHING and usage:
        _write_usage(usage, out.usage)
    for attempt in branch.attempts:
        _write_attempt(attempt, out.attempts.add(), branch.worker)
    for decision in branch.decisions:
        told = out.decisions.add(what=decision.what, why=decision.why, endpoint=decision.endpoint)
        _write_duration(decision.after, told.after)


def from_branch(branch: report_pb2.BranchReport) -> BranchReport:
    """Protobuf → BranchReport. An unknown state is PENDING, an unknown reason NONE."""
    return BranchReport(
        branch=branch.branch,
        worker=branch.worker,
        state=_member(BranchState, branch.state, BranchState.PENDING),
        reason=_member(BranchReason, branch.reason, BranchReason.NONE),
        endpoint=branch.endpoint,
        code=branch.status.code,
        detail=branch.status.message,
        attempts=tuple([from_attempt(attempt, branch.worker) for attempt in branch.attempts]),
        started_after=nanoseconds(branch.started_after) if branch.HasField("started_after") else None,
        elapsed=nanoseconds(branch.elapsed) if branch.HasField("elapsed") else None,
        queued=nanoseconds(branch.queued),
        required=branch.required,
        weight=branch.weight,
        sla_met=branch.sla_met if branch.HasField("sla_met") else None,
        confidence=branch.confidence if branch.HasField("confidence") else None,
        usage=from_usage(branch.usage) if branch.HasField("usage") else NOTHING,
        merged=branch.merged,
        span_id=branch.span_id,
        decisions=tuple(PolicyDecision(d.what, d.why, nanoseconds(d.after), d.endpoint) for d in branch.decisions),
        item=branch.item if branch.HasField("item") else None,
        item_key=branch.item_key,
    )


def to_report(report: Report) -> report_pb2.Report:
    """Report → protobuf."""
    out = report_pb2.Report()
    write_report(report, out)
    return out


def write_report(report: Report, out: report_pb2.Report) -> None:
    """Report → a message that is empty and has its place already."""
    out.request_id = report.request_id
    out.plan = report.plan
    out.route = report.route
    out.config_version = report.config_version
    out.trace_id = report.trace_id
    out.complete = report.complete
    out.completed_by = _number(report.completed_by)
    _write_coverage(report.coverage, out.coverage)
    out.degraded.SetInParent()
    if report.degraded is not UNDEGRADED:
        out.degraded.CopyFrom(to_degraded(report.degraded))
    _write_duration(report.elapsed, out.elapsed)
    out.aggregator_mode = _number(report.aggregator_mode)
    out.critical_path.extend(report.critical_path)
    for branch in report.branches:
        _write_branch(branch, out.branches.add())
    out.conflicts.extend(map(to_conflict, report.conflicts))


def from_report(report: report_pb2.Report) -> Report:
    """Protobuf → Report. ValueError if it does not say by which rule it ended, or names one that we do not know."""
    return Report(
        request_id=report.request_id,
        plan=report.plan,
        completed_by=CompletedBy(report.completed_by),
        coverage=from_coverage(report.coverage),
        branches=tuple(map(from_branch, report.branches)),
        degraded=from_degraded(report.degraded),
        complete=report.complete,
        route=report.route,
        config_version=report.config_version,
        trace_id=report.trace_id,
        conflicts=tuple(map(from_conflict, report.conflicts)),
        elapsed=nanoseconds(report.elapsed),
        aggregator_mode=_member(AggregatorMode, report.aggregator_mode, AggregatorMode.EMBEDDED),
        critical_path=tuple(report.critical_path),
    )


SUMMARY_LIMIT: Final = 4096
"""Bytes. Trailers above 8 KB replace the status itself."""

SUMMARY_BRANCHES: Final = 8
_TEXT: Final = 160
_NAME: Final = 128

_S = BranchState
_BADNESS: Final = {
    state: rank
    for rank, state in enumerate(
        (_S.FAILED, _S.TIMED_OUT, _S.REJECTED, _S.CANCELLED, _S.PENDING, _S.SKIPPED, _S.DEFAULTED, _S.FELL_BACK, _S.SUCCEEDED)
    )
}

_NO_CAUSE: Final = (BranchReason.COMPLETION_MET, BranchReason.LATE, BranchReason.CONDITION, BranchReason.ROLLOUT)


def worst(branches: Iterable[BranchReport]) -> list[BranchReport]:
    """The branches by how much their fate explains a failure: required ones first, then by state, then in plan order.

    Those that nobody wanted, or that were stopped because the request was over, explain nothing and come after the others.
    """
    fine = (BranchState.SUCCEEDED, BranchState.FELL_BACK)
    return sorted(branches, key=lambda b: (b.state in fine, b.reason in _NO_CAUSE, not b.required, _BADNESS[b.state]))


def to_summary(report: Report) -> report_pb2.ReportSummary:
    """At most 4 KB of a report: the 8 worst branches without their attempts, texts cut, branches dropped until it fits."""
    out = report_pb2.ReportSummary(
        request_id=report.request_id[:_NAME],
        plan=report.plan[:_NAME],
        trace_id=report.trace_id[:_NAME],
        completed_by=_number(report.completed_by),
        coverage=to_coverage(report.coverage),
        degraded=to_degraded(report.degraded),
        elapsed=duration(report.elapsed),
        truncated=len(report.branches) > SUMMARY_BRANCHES or max(map(len, (report.request_id, report.plan))) > _NAME,
    )
    for branch in worst(report.branches)[:SUMMARY_BRANCHES]:
        row = to_branch(branch._replace(attempts=()))
        for field, limit in (("branch", _NAME), ("worker", _NAME), ("endpoint", _NAME)):
            out.truncated |= len(getattr(row, field)) > limit
            setattr(row, field, getattr(row, field)[:limit])
        if len(branch.detail) > _TEXT:
            row.status.message = f"{branch.detail[: _TEXT - 1]}…"
            out.truncated = True
        out.worst.append(row)
    while out.worst and out.ByteSize() > SUMMARY_LIMIT:
        del out.worst[-1]
        out.truncated = True
    return out


def from_summary(summary: report_pb2.ReportSummary) -> Report:
    """The Report that a summary is a part of: `branches` are the worst ones only."""
    return Report(
        request_id=summary.request_id,
        plan=summary.plan,
        completed_by=CompletedBy(summary.completed_by),
        coverage=from_coverage(summary.coverage),
        branches=tuple(map(from_branch, summary.worst)),
        degraded=from_degraded(summary.degraded),
        trace_id=summary.trace_id,
        elapsed=nanoseconds(summary.elapsed),
    )
