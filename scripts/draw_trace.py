"""Draw docs/img/trace.svg from docs/img/trace.json, which is what Jaeger's API said of one request of `make test-jaeger`.

By hand and not a screenshot: it shows in one look what Jaeger hides behind clicks (events, links, endings), it can be read as
text, and the same JSON gives the same bytes, so that a test can tell whether both belong together. A new one:

    .venv/bin/pytest tests/jaeger --keep-trace docs/img/trace.json && .venv/bin/python scripts/draw_trace.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "img"
SOURCE: Final = IMAGES / "trace.json"
TARGET: Final = IMAGES / "trace.svg"

WIDTH, ROW, TOP = 1210, 21, 34
LEFT, RIGHT = 330, 800
"""Where the axis of time begins and ends; names stand left of it, endings right of it. Pixels, like all here."""

INDENT: Final = 14
DISPATCHER, AGGREGATOR, WORKER, CLIENT, ERROR, EVENT = "#1b6ca8", "#5b8e7d", "#b8c4ce", "#777777", "#c8553d", "#d99a2b"
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#222}.q{fill:#777}.n{text-anchor:middle}.r{text-anchor:end}.e{fill:#c8553d}"
    ".g{stroke:#e4e4e4}.l{stroke:#5b8e7d;stroke-dasharray:1 3;stroke-width:1.5}"
)


class Row(NamedTuple):
    """A span on its line. Times are µs since the trace began; `code` and `links` as Jaeger has them."""

    depth: int
    id: str
    service: str
    name: str
    tags: Mapping[str, Any]
    start: int
    end: int
    events: tuple[tuple[str, str, int], ...]
    links: tuple[str, ...]

    @property
    def code(self) -> str:
        """The gRPC status of the call."""
        return str(self.tags.get("rpc.response.status_code", ""))

    @property
    def ending(self) -> str:
        """What became of it, in a few words."""
        said = self.tags
        if self.links:
            return f"linked to the {len(self.links)} attempts that are in the result"
        if self.name.startswith("branch "):
            state, reason = said["fanmesh.branch.state"], said.get("fanmesh.branch.reason")
            decided = [f"{what} ({why})" for what, why, _ in self.events]
            return " · ".join([f"{state}/{reason}" if reason else state, *decided])
        if self.name.startswith("attempt "):
            return f"{said['fanmesh.attempt.kind']} · {'won' if said['fanmesh.attempt.won'] else self.code}"
        if self.name.startswith("dispatch "):
            return f"completed by {said['fanmesh.completed_by']} · coverage {said['fanmesh.coverage']:.2f}"
        return self.code

    @property
    def colour(self) -> str:
        """By who does it; red if it failed."""
        if self.tags.get("error"):
            return ERROR
        if self.name.startswith(("dispatch ", "branch ", "attempt ")):
            return DISPATCHER
        if self.links:
            return AGGREGATOR
        return WORKER if self.tags["span.kind"] == "server" else CLIENT


def rows(trace: Mapping[str, Any]) -> list[Row]:
    """The spans of Jaeger's JSON as a tree from top to bottom, children by their start."""
    began = min(span["startTime"] for span in trace["spans"])
    children: dict[str, list[Any]] = {}
    for span in sorted(trace["spans"], key=lambda span: (span["startTime"], span["operationName"], span["spanID"])):
        parents = [ref["spanID"] for ref in span["references"] if ref["refType"] == "CHILD_OF"]
        children.setdefault(parents[0] if parents else "", []).append(span)

    def under(parent: str, depth: int) -> Iterator[Row]:
        for span in children.get(parent, []):
            yield _row(span, trace["processes"], depth, began)
            yield from under(span["spanID"], depth + 1)

    return list(under("", 0))


def _row(span: Mapping[str, Any], processes: Mapping[str, Any], depth: int, began: int) -> Row:
    start = span["startTime"] - began
    events = []
    for log in span["logs"]:
        said = {field["key"]: field["value"] for field in log["fields"]}
        events.append((said["event"], said.get("fanmesh.policy.why", ""), log["timestamp"] - began))
    return Row(
        depth,
        span["spanID"],
        processes[span["processID"]]["serviceName"],
        span["operationName"],
        {tag["key"]: tag["value"] for tag in span["tags"]},
        start,
        start + span["duration"],
        tuple(events),
        tuple(ref["spanID"] for ref in span["references"] if ref["refType"] == "FOLLOWS_FROM"),
    )


def draw(trace: Mapping[str, Any]) -> str:
    """The picture."""
    lines = rows(trace)
    longest = max(row.end for row in lines)
    bottom = TOP + ROW * len(lines)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 12}" width="{WIDTH}" height="{bottom + 12}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{bottom + 12}" fill="#fff"/>',
    ]

    def x(at: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * at / longest, 1)

    for tick in range(0, longest, 50_000):
        out.append(f'<line class="g" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 8}" y2="{bottom}"/>')
        out.append(f'<text class="q n" x="{x(tick)}" y="{TOP - 14}">{tick // 1000}{"" if tick else " ms"}</text>')
    middle = {row.id: TOP + ROW * number + 10 for number, row in enumerate(lines)}
    ends = {row.id: row.end for row in lines}
    for row in lines:  # an answer goes from the end of its call into the merge
        for link in row.links:
            at = x(ends[link])
            out.append(f'<line class="l" x1="{at}" x2="{at}" y1="{middle[row.id] + 5}" y2="{middle[link] - 5}"/>')
    for row in lines:
        out += _line(row, middle[row.id], x)
    return "\n".join([*out, "</svg>", ""])


def _line(row: Row, y: int, x: Callable[[int], float]) -> Iterator[str]:
    name, left = escape(row.name.rpartition(".")[2]), 8 + INDENT * row.depth
    yield f'<text x="{left}" y="{y + 4}">{name}<tspan class="q" dx="6">{escape(row.service)}</tspan></text>'
    width = max(2.0, round(x(row.end) - x(row.start), 1))
    given_up = row.code == "CANCELLED" and not row.tags.get("error")
    look = f'fill="#fff" stroke="{row.colour}" stroke-dasharray="3 2"' if given_up else f'fill="{row.colour}"'
    yield f'<rect x="{x(row.start)}" y="{y - 5}" width="{width}" height="10" rx="2" {look}/>'
    for what, why, at in row.events:
        told = f"<title>{escape(f'{what}: {why}')}</title>"
        yield f'<path d="M{x(at)} {y - 7}l5 7l-5 7l-5 -7z" fill="{EVENT}" stroke="#fff">{told}</path>'
    shade, spent = ' class="e"' if row.tags.get("error") else "", (row.end - row.start) / 1000
    yield f'<text class="q r" x="{RIGHT + 68}" y="{y + 4}">{spent:.1f} ms</text>'
    yield f'<text x="{RIGHT + 80}" y="{y + 4}"{shade}>{escape(row.ending)}</text>'


def main() -> None:
    """Draw it."""
    TARGET.write_text(draw(json.loads(SOURCE.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
