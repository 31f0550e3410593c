"""The picture of one request, drawn from its report alone: who was called when, how long it took, and how it ended.

Pure: a Report in, text out. Nothing is asked of the dispatcher beside the report, so the picture is a test of the report: what
cannot be seen here, no other tool of a caller can see either. How a branch ended is told by a glyph, the fill of its bar and
words; colour only repeats it, because logs, pipes and one reader in twelve have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len, set_cell_size

from fanmesh.cli.bars import Axis, ratio, time
from fanmesh.cli.item_rows import Group, groups
from fanmesh.cli.rows import Row, rows
from fanmesh.cli.tones import Tone, paint
from fanmesh.jsontext import encode
from fanmesh.model.merge import Conflict
from fanmesh.model.report import Report
from fanmesh.model.states import AggregatorMode, CompletedBy
from fanmesh.model.values import JsonValue

C = CompletedBy

MIN_WIDTH: Final = 60
_NAME: Final = 20
_BARS: Final = (10, 24, 44)
"""Cells of a bar: at least, before notes get any room, at most."""

FAILURES: Final = frozenset({C.UNREACHABLE, C.EMPTY, C.CALLER_GONE})
"""Rules that end a request without an answer."""


def render(
    report: Report, *, width: int = 100, colour: bool = False, title: str | None = None, failed: str | None = None
) -> str:
    """The picture as lines of at most `width` cells (≥ 60), without a final newline.

    `title` stands before the header. `failed`: the status of a call that failed, such as `DEADLINE_EXCEEDED DEADLINE`; a report
    does not hold it, and without it a failure is known by the rule that ended the request and by missing required branches.
    """
    width = max(width, MIN_WIDTH)
    lines = rows(report)
    lead = 4 + min(max((cell_len(row.name) for row in lines), default=0), _NAME) + 2
    words = max((len(row.what) for row in lines), default=0)
    notes = max((cell_len(row.notes) + 2 for row in lines if row.glyph and row.notes), default=0)
    axis = Axis(_span(report, lines), _cells(width - lead - 11 - words, notes))
    out = [header(report, width=width, colour=colour, title=title, failed=failed)]
    if any(row.start is not None for row in lines):
        out.append(paint((" " * lead + axis.ruler()).rstrip(), Tone.QUIET, colour=colour))
    out += [_line(row, axis, lead, words, width, colour) for row in lines]
    out += [_fit(f"  {text}", width) for text in _after(report)]
    return "\n".join(out)


def _cells(room: int, notes: int) -> int:
    """What bars get of the room that they share with the notes."""
    least, fair, most = _BARS
    return max(least, min(room, most, max(fair, room - notes)))


def header(
    report: Report, *, width: int = 100, colour: bool = False, title: str | None = None, failed: str | None = None
) -> str:
    """`PARTIAL  201 ms  coverage 0.50  by SOFT_TIMEOUT  trace 4bf92f35…`."""
    word, tone = verdict(report, failed)
    parts = [word, time(report.elapsed), f"coverage {ratio(report.coverage.ratio)}", f"by {report.completed_by.name}"]
    if failed:
        parts.insert(1, failed)
    if report.aggregator_mode is not AggregatorMode.EMBEDDED:
        parts.append(f"aggregator {report.aggregator_mode.name}")
    if report.trace_id:
        parts.append(f"trace {report.trace_id[:8]}…")
    before = f"{title}  " if title else ""
    text = _fit(before + "  ".join(parts), width)
    at = len(before)
    if not colour or not text.startswith(word, at):
        return text
    return text[:at] + paint(word, tone, colour=True) + text[at + len(word) :]


def verdict(report: Report, failed: str | None = None) -> tuple[str, Tone]:
    """OK, PARTIAL or FAILED."""
    if failed or report.completed_by in FAILURES or any(_unmet(group, report) for group in groups(report.branches)):
        return "FAILED", Tone.BAD
    return ("OK", Tone.GOOD) if report.complete else ("PARTIAL", Tone.SOSO)


def _unmet(group: Group, report: Report) -> bool:
    """Whether a required branch is missing. Some of its items may be: then nothing is merged only if those were too many."""
    if not group.head().required:
        return False
    lost = group.own is None and group.answered < len(group.items) and not any(row.merged for row in report.branches)
    return lost or not group.satisfied


def _span(report: Report, lines: list[Row]) -> int:
    """A bar may end a moment after the report was made."""
    return max(report.elapsed, *(row.end or 0 for row in lines), 1)


def _line(row: Row, axis: Axis, lead: int, words: int, width: int, colour: bool) -> str:  # noqa: FBT001  (internal)
    if not row.glyph and not row.name:
        return paint(_fit(f"{' ' * lead}{row.notes}", width), row.tone, colour=colour)
    name = set_cell_size(_fit(f"  {row.glyph or ' '} {row.name}", lead - 2), lead)
    bar = " " * axis.cells if row.start is None else axis.bar(row.start, row.end or row.start, row.fill, row.mark)
    rest = f"{row.took:>8}  {row.what:<{words}}"
    used = lead + axis.cells + 1 + len(rest)
    notes = _fit(f"  {row.notes}", width - used) if row.notes and width - used > 4 else ""
    if not colour:
        return _fit(f"{name}{bar} {rest}{notes}".rstrip(), width)
    return (
        paint(name + bar, row.tone, colour=True)
        + " "
        + paint(rest, row.tone, colour=True)
        + paint(notes, Tone.QUIET, colour=True)
    )


def _after(report: Report) -> Iterator[str]:
    if names := report.degraded.names():
        yield f"degraded  {', '.join(names)}"
    for conflict in report.conflicts:
        yield f"conflict  {_conflict(conflict)}"


def _conflict(conflict: Conflict) -> str:
    said = ", ".join(f"{branch} {_short(value)}" for branch, value in conflict.values.items())
    return f"{conflict.path}: {said} → {conflict.chosen or 'combined'}"


def _short(value: JsonValue) -> str:
    text = encode(value).decode()
    return text if len(text) <= 32 else f"{text[:31]}…"


def _fit(text: str, width: int) -> str:
    """At most `width` cells, and nothing that a terminal would obey: a worker's message is a stranger's text."""
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"
