"""`fanmesh call --repeat N`: the same request many times, one after the other, and how it went."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.progress import track

from fanmesh.cli.bars import time
from fanmesh.cli.calling import Question, ask, refused
from fanmesh.cli.ends import Exit
from fanmesh.cli.say import document, table
from fanmesh.cli.told import draw, report_json
from fanmesh.cli.tones import is_terminal
from fanmesh.client import Client
from fanmesh.model.report import Report
from fanmesh.model.times import MS
from fanmesh.result import DispatchFailed
from fanmesh.runtime.clock import now_ns

QUANTILES: Final = (50, 95, 99)


@dataclass(slots=True)
class Tally:
    """What is counted: latencies in ns as the caller saw them, statuses, endings, and how each branch ended."""

    took: list[int] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    completed_by: Counter[str] = field(default_factory=Counter)
    complete: int = 0
    last: Report | None = None
    last_failure: DispatchFailed | None = None

    def add(self, took: int, report: Report | None, failed: DispatchFailed | None) -> None:
        """One call."""
        self.took.append(took)
        self.codes["OK" if failed is None else f"{failed.code.name} {failed.reason}".strip()] += 1
        if report is not None:
            self.completed_by[report.completed_by.name] += 1
            self.complete += report.complete and failed is None
            self.last, self.last_failure = report, failed

    @property
    def exit(self) -> Exit:
        """Failed if one failed, else partial if one was."""
        if self.codes["OK"] < len(self.took):
            return Exit.FAILED
        return Exit.OK if self.complete == len(self.took) else Exit.PARTIAL


def quantile(values: Sequence[int], percent: int) -> int:
    """The smallest value that `percent` of all values do not exceed (nearest rank): always one that was seen."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def repeat(client: Client, asked: Question, times: int, server: str, output: str) -> int:
    """Call `times` times. Stop if there is no dispatcher at all."""
    tally = Tally()
    console = Console(stderr=True)
    for _ in track(range(times), "calling", console=console, disable=not is_terminal(sys.stderr), transient=True):
        began = now_ns()
        try:
            done = ask(client, asked)
            tally.add(now_ns() - began, done.report, None)
        except DispatchFailed as failed:
            if failed.report is None and tally.last is None:
                raise refused(failed, server) from failed  # it would be the same a thousand times
            tally.add(now_ns() - began, failed.report, failed)
    if output == "json":
        document(_document(tally))
    else:
        _print(tally)
    return tally.exit


def _document(tally: Tally) -> dict[str, Any]:
    latency = {f"p{percent}": round(quantile(tally.took, percent) / MS, 3) for percent in QUANTILES}
    return {
        "ok": tally.exit is not Exit.FAILED,
        "calls": len(tally.took),
        "complete": tally.complete,
        "latency_ms": {**latency, "max": round(max(tally.took) / MS, 3)},
        "codes": dict(tally.codes),
        "completed_by": dict(tally.completed_by),
        "last_report": report_json(tally.last) if tally.last else None,
    }


def _print(tally: Tally) -> None:
    if tally.last is not None:
        failed = tally.last_failure
        draw(tally.last, f"{failed.code.name} {failed.reason}".strip() if failed else None)
        print()
    total = len(tally.took)
    rows = [(f"p{percent}", time(quantile(tally.took, percent)), "") for percent in QUANTILES]
    rows.append(("max", time(max(tally.took)), ""))
    rows += [("code", name, f"{count} of {total}") for name, count in tally.codes.most_common()]
    rows += [("completed by", name, f"{count} of {total}") for name, count in tally.completed_by.most_common()]
    rows.append(("complete", "", f"{tally.complete} of {total}"))
    table((f"{total} calls", "", ""), rows)
