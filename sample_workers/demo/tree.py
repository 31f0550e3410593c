"""A trace as a tree: who called whom, drawn on one axis of time.

From the exported spans alone, as a trace viewer would draw it; what a viewer hides in a side panel, the links, stands under
the span that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fanmesh.cli.bars import Axis, time
from sample_workers.demo.collector import Span

_NAME: Final = 46
_BARS: Final = 16


class _Row(NamedTuple):
    lead: str
    span: Span
    below: str


def roots(spans: Sequence[Span]) -> list[Span]:
    """Spans whose parent is not among them."""
    known = {span.id for span in spans}
    return [span for span in spans if span.parent not in known]


def draw(spans: Sequence[Span], width: int) -> list[str]:
    """The lines of the tree, each at most `width` characters."""
    began = min(span.start for span in spans)
    axis = Axis(max(span.end for span in spans) - began, _BARS)
    names = {span.id: span.branch or span.name for span in spans}
    out = []
    for row in _rows(spans):
        span = row.span
        bar = axis.bar(span.start - began, span.end - began)
        head = f"{row.lead}{span.service}  {_called(span)}"
        out.append(f"{head[:_NAME]:<{_NAME}} {bar} {time(span.end - span.start):>8}  {_ended(span)}".rstrip())
        if span.links:
            out.append(f"{row.below}  links → {' '.join(names.get(each, each) for each in span.links)}")
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in out]


def _rows(spans: Sequence[Span]) -> Iterator[_Row]:
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start, span.name)):
        children.setdefault(span.parent, []).append(span)

    def under(span: Span, lead: str, below: str) -> Iterator[_Row]:
        yield _Row(lead, span, below)
        inner = children.get(span.id, [])
        for child in inner:
            last = child is inner[-1]
            yield from under(child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}")

    for root in roots(spans):
        yield from under(root, "", "")


def _called(span: Span) -> str:
    """`WorkerService/Process` of `fanmesh.v1.WorkerService/Process`; other names as they are."""
    return span.name.rpartition(".")[2]


def _ended(span: Span) -> str:
    """The ending of a branch as its report says it, of anything else the status that it saw."""
    state, reason = (str(span.attributes.get(f"fanmesh.branch.{key}", "")) for key in ("state", "reason"))
    if state == "SUCCEEDED":
        return "ok"
    return f"{state}/{reason}" if state and reason else state or span.code
