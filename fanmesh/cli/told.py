"""Reports and updates of a stream as JSON, and as lines.

A report's JSON is the protocol's own (names as in report.proto), so that it reads the same from this program, from grpcurl, and
from a client in another language.
"""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from rich.cells import cell_len, set_cell_size

from fanmesh.cli.bars import ratio, time
from fanmesh.cli.rows import what
from fanmesh.cli.say import width
from fanmesh.cli.tones import colourful
from fanmesh.cli.waterfall import render
from fanmesh.model.report import Report
from fanmesh.model.states import BranchState
from fanmesh.model.times import MS
from fanmesh.reporting import to_branch, to_report
from fanmesh.result import BranchEvent, Snapshot


def draw(report: Report, failed: str | None = None) -> None:
    """The waterfall on stdout."""
    print(render(report, width=width(), colour=colourful(), failed=failed))


def report_json(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return _json(to_report(report))


def update_json(update: Snapshot | BranchEvent, at: int) -> dict[str, Any]:
    """One update; `at` in ns since the call was made."""
    head = {"at_ms": round(at / MS, 3), "coverage": update.coverage.ratio}
    match update:
        case Snapshot(value=value):
            return {**head, "snapshot": value}
        case BranchEvent(branch=branch):
            return {**head, "branch": _json(to_branch(branch))}


def update_line(update: Snapshot | BranchEvent, at: int, room: int) -> str:
    """`   41 ms  coverage 0.33  {"phone": …}`."""
    head = f"{time(at):>9}  coverage {ratio(update.coverage.ratio)}  "
    match update:
        case Snapshot(value=value):
            text = orjson.dumps(value).decode()
        case BranchEvent(branch=branch):
            took = f"  {time(branch.elapsed)}" if branch.elapsed is not None and branch.state is not BranchState.PENDING else ""
            text = f"{branch.branch}  {'sent' if branch.state is BranchState.PENDING else what(branch)}{took}"
    line = head + "".join(char if char.isprintable() else " " for char in text)
    return line if cell_len(line) <= room else f"{set_cell_size(line, room - 1).rstrip()}…"


def _json(message: Any) -> dict[str, Any]:
    out: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return out
