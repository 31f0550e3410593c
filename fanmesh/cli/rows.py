"""How each ending looks, and the lines of a picture before they are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from fanmesh.cli.bars import SOLID, ratio, time
from fanmesh.cli.item_rows import Group, groups
from fanmesh.cli.tones import Tone
from fanmesh.model.fault import Code
from fanmesh.model.report import AttemptReport, BranchReport, Report
from fanmesh.model.states import AttemptKind, BranchReason, BranchState

R, S = BranchReason, BranchState


class Look(NamedTuple):
    """How an ending is drawn. `mark` ends the bar."""

    glyph: str
    fill: str
    mark: str
    tone: Tone


LOOKS: Final = {
    S.SUCCEEDED: Look("●", SOLID, "", Tone.GOOD),
    S.FELL_BACK: Look("↺", SOLID, "", Tone.SOSO),
    S.DEFAULTED: Look("◇", "░", "┤", Tone.SOSO),
    S.CANCELLED: Look("◌", "░", "┤", Tone.SOSO),
    S.TIMED_OUT: Look("◔", "▒", "┃", Tone.BAD),
    S.FAILED: Look("✗", "▓", "✗", Tone.BAD),
    S.REJECTED: Look("⊘", "▓", "⊘", Tone.BAD),
    S.SKIPPED: Look("–", "·", "", Tone.QUIET),
    S.PENDING: Look("…", "░", "→", Tone.SOSO),
}
NOT_MERGED: Final = "○"
"""In the place of ● : it answered, and the merge took another's answer."""

BY_REASON: Final = {R.HARD_TIMEOUT: S.TIMED_OUT, R.REQUEST_DEADLINE: S.TIMED_OUT, R.SOFT_TIMEOUT: S.CANCELLED}
"""Whose bar a DEFAULTED branch has; every other reason but these: a failed one's."""

CACHED: Final = {"cache_hit": "cached, {}", "cache_joined": "joined another call", "cache_stale": "stale, {}"}
"""Decisions that say where an answer came from, in words; `{}` is the last part of their reason."""

SATISFIED: Final = frozenset({S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED})


class Row(NamedTuple):
    """One line of the picture, before it is laid out. Times in ns, None = nothing was sent."""

    glyph: str
    name: str
    start: int | None
    end: int | None
    fill: str
    mark: str
    took: str
    what: str
    notes: str
    tone: Tone


def rows(report: Report) -> list[Row]:
    """The lines, in plan order; a branch with several attempts has one more line for each, and one with items for these."""
    out: list[Row] = []
    ends = (b.started_after + b.elapsed for b in report.branches if b.started_after is not None and b.elapsed is not None)
    first_end = min(ends, default=None)
    for group in groups(report.branches):
        head = group.head()
        out += _lines(head, _group(_branch(head, first_end), group))
        for item in group.shown():
            since = first_end if item.started_after != head.started_after else None  # or the branch's own line says it
            out += _lines(item, _item(_branch(item, since), item), "  ")
    return out


def _lines(branch: BranchReport, row: Row, lead: str = "") -> Iterator[Row]:
    yield row
    if len(branch.attempts) > 1:
        several = len({attempt.worker for attempt in branch.attempts}) > 1
        for attempt in branch.attempts:
            line = _attempt(attempt, several=several)
            yield line._replace(name=f"{lead}{line.name}")
    if detail := _detail(branch):
        yield Row("", "", None, None, "", "", "", "", f"↳ {detail}", Tone.QUIET)


def _group(row: Row, group: Group) -> Row:
    """The line of a branch, with how many of its items answered, if it has no row of its own."""
    if not (told := group.told()):
        return row
    notes = f"{len(group.items)} item{'s' * (len(group.items) > 1)}"
    tone = row.tone if group.answered in (0, len(group.items)) else Tone.SOSO
    return row._replace(what=told, tone=tone, notes=f"{row.notes} {notes}".strip())


def _item(row: Row, item: BranchReport) -> Row:
    """The line of an item: below its branch, by its key."""
    return row._replace(name=f"  {item.item_key or item.item}")


def _branch(branch: BranchReport, first_end: int | None) -> Row:
    look = LOOKS[branch.state]
    bar = LOOKS[BY_REASON.get(branch.reason, S.FAILED)] if branch.state is S.DEFAULTED else look
    glyph, notes = look.glyph, []
    if first_end and branch.started_after is not None and branch.started_after >= first_end:  # it waited for another
        notes.append(f"from {time(branch.started_after)}")
    if branch.required and branch.state not in SATISFIED and branch.item is None:
        notes.append("required")
    if branch.state is S.SUCCEEDED and not branch.merged:
        glyph = NOT_MERGED
        notes.append("not merged")
    elif branch.merged and branch.state not in SATISFIED:
        notes.append("its parts are merged")
    notes.extend(CACHED[told.what].format(told.why.rpartition(", ")[2]) for told in branch.decisions if told.what in CACHED)
    if branch.reason is R.LATE:
        notes.append("answered late")
    if branch.sla_met is False:
        notes.append("sla missed")
    if len(branch.attempts) > 1:
        notes.append(f"{len(branch.attempts)} attempts")
    elif branch.endpoint:
        notes.append(branch.endpoint)
    if branch.confidence is not None:
        notes.append(f"conf {ratio(branch.confidence)}")
    start, took = branch.started_after, branch.elapsed
    return Row(
        glyph,
        branch.branch,
        start,
        None if start is None else start + (took or 0),
        bar.fill,
        "»" if branch.reason is R.LATE else bar.mark,
        "" if took is None else time(took),
        what(branch),
        " ".join(notes),
        look.tone,
    )


def what(branch: BranchReport) -> str:
    """`ok`, or `STATE/REASON`."""
    if branch.state is S.SUCCEEDED:
        return "ok"
    return branch.state.name if branch.reason is R.NONE else f"{branch.state.name}/{branch.reason.name}"


def _attempt(attempt: AttemptReport, *, several: bool) -> Row:
    """`several`: they went to more than one worker."""
    look = LOOKS[
        S.SUCCEEDED if attempt.won else S.CANCELLED if attempt.cancelled else S.FAILED if attempt.code else S.SUCCEEDED
    ]
    ended = "won" if attempt.won else "cancelled" if attempt.cancelled else code_name(attempt.code)
    name = f"└ {attempt.number + 1} {AttemptKind(attempt.kind).name.lower()}"
    end = attempt.started_after + attempt.elapsed
    place = f"{attempt.worker} {attempt.endpoint}" if several else attempt.endpoint
    return Row("", name, attempt.started_after, end, look.fill, look.mark, time(attempt.elapsed), ended, place, Tone.QUIET)


def code_name(code: int) -> str:
    """`UNAVAILABLE`; a number that is no code stays one."""
    try:
        return Code(code).name
    except ValueError:
        return f"code {code}"


def _detail(branch: BranchReport) -> str:
    if not branch.code and not branch.detail:
        return ""
    return ": ".join(filter(None, (code_name(branch.code) if branch.code else "", branch.detail)))
