"""The graph of a plan as one SVG file: nothing is fetched to show it, and it follows the reader's light or dark.

Fixed-width letters, because then it is known how wide a text is without the font.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap
from typing import Final, NamedTuple

from fanmesh.cli.drawing.layout import Layout, Point, Size, lay_out
from fanmesh.cli.drawing.links import Graph, Kind, Vertex, graph_of
from fanmesh.cli.drawing.words import condition, cut, fate, for_each, times
from fanmesh.v1.dispatcher_pb2 import ExplainNode, ExplainResponse

LETTER: Final = 7.25
"""The widest that a letter of 12 px is in the fonts named below."""
LINE: Final = 17.0
PAD: Final = 10.0
MARGIN: Final = 20.0
HEAD: Final = 30.0
LONGEST: Final = 34
"""Letters of a line in a box."""
ASKED: Final = 3
"""Lines of an expression at most. The whole of it is in the box's title, which is shown under the pointer."""
JOINT: Final = Size(6.0, 44.0)

STYLE: Final = (
    "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2430}"
    ".id{font-weight:700}.q{fill:#667085}.page{fill:#fff}.box{fill:#f6f8fb;stroke:#98a2b3}"
    ".required{stroke:#175cd3;stroke-width:2.5}"
    ".maybe{stroke-dasharray:5 3}.off{opacity:.5}.mark{fill:#175cd3}.joint{fill:#98a2b3}"
    ".line{fill:none;stroke:#667085;stroke-width:1.4}.if{stroke-dasharray:2 4;stroke-width:1.8}"
    ".stage{stroke-width:3.2;stroke:#98a2b3}.tip{fill:#667085}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e9ef}.q{fill:#9aa4b5}.page{fill:#12161e}.box{fill:#1d2430;stroke:#5b6678}"
    ".required{stroke:#6ea8ff}.mark{fill:#6ea8ff}.joint{fill:#5b6678}.line{stroke:#9aa4b5}.stage{stroke:#5b6678}.tip{fill:#9aa4b5}}"
)
TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse"'
    ' orient="auto"><path class="tip" d="M0,0.5L8,4L0,7.5Z"/></marker></defs>'
)
_CLASS: Final = {Kind.FEEDS: "line", Kind.ASKS: "line if", Kind.AFTER: "line stage"}
_LEGEND: Final = {Kind.FEEDS: "reads it", Kind.ASKS: "its if reads it", Kind.AFTER: "waits for its stage"}


class _Row(NamedTuple):
    text: str
    style: str


def svg(told: ExplainResponse) -> str:
    """The picture, without a final newline."""
    graph = graph_of(told.nodes)
    boxes = [_rows(vertex.node) if vertex.node is not None else [] for vertex in graph.vertices]
    sizes = _alike([_size(rows) if rows else JOINT for rows in boxes], graph.vertices)
    layout = lay_out(sizes, [vertex.depth for vertex in graph.vertices], [(line.source, line.target) for line in graph.lines])
    title = _title(told)
    kinds = [kind for kind in Kind if any(line.kind is kind for line in graph.lines)]
    wide = max(layout.width, len(title) * LETTER, sum(_legend_width(kind) for kind in kinds)) + 2 * MARGIN
    foot = LINE * 2 if kinds else 0.0
    high = layout.height + HEAD + foot + 2 * MARGIN
    size = f'viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        TIP,
        '<rect class="page" width="100%" height="100%"/>',
        f'<text class="q" x="{MARGIN:g}" y="{MARGIN + 10:g}">{escape(title)}</text>',
        f'<g transform="translate({MARGIN:g},{MARGIN + HEAD:g})">',
        *_lines(graph, layout),
        *(
            part
            for at, vertex in enumerate(graph.vertices)
            for part in _vertex(vertex, layout.places[at], sizes[at], boxes[at])
        ),
        "</g>",
        *_legend(kinds, high - MARGIN),
        "</svg>",
    ]
    return "\n".join(out)


def _title(told: ExplainResponse) -> str:
    def milliseconds(field: str) -> str:
        return f"{getattr(told, field).ToMilliseconds()} ms"

    return f"plan {told.plan} · T {milliseconds('total')} · stop {milliseconds('stop')} · merge {told.merge.kind}"


def _rows(node: ExplainNode) -> list[_Row]:
    rows = [_Row(cut(node.branch, LONGEST), "id")]
    if node.worker != node.branch:
        rows.append(_Row(cut(f"← {node.worker}", LONGEST), "q"))
    rows += [_Row(text, "") for text in times(node)[:1]]
    if more := times(node)[1:]:
        rows.append(_Row(" · ".join(more), ""))
    if node.required:
        rows.append(_Row("required", "mark"))
    for said in (condition(node), for_each(node)):
        lines = wrap(said, LONGEST, subsequent_indent="\u00a0\u00a0\u00a0", max_lines=ASKED, placeholder=" …")
        rows += [_Row(text, "q") for text in lines]
    if told := fate(node):
        rows.append(_Row(told, "mark"))
    return rows


def _size(rows: Sequence[_Row]) -> Size:
    return Size(max(len(row.text) for row in rows) * LETTER + 2 * PAD, len(rows) * LINE + 2 * PAD - 4)


def _alike(sizes: Sequence[Size], vertices: Sequence[Vertex]) -> list[Size]:
    """The boxes of a column are of one width."""
    widest: dict[int, float] = {}
    for size, vertex in zip(sizes, vertices, strict=True):
        widest[vertex.depth] = max(widest.get(vertex.depth, 0.0), size.width)
    pairs = zip(sizes, vertices, strict=True)
    return [size if vertex.node is None else Size(widest[vertex.depth], size.height) for size, vertex in pairs]


def _vertex(vertex: Vertex, place: Point, size: Size, rows: Sequence[_Row]) -> Iterator[str]:
    x, y = round(place.x, 1), round(place.y, 1)
    node = vertex.node
    if node is None:
        yield f'<rect class="joint" x="{x:g}" y="{y:g}" width="{size.width:g}" height="{size.height:g}" rx="3"/>'
        return
    marks = (("required", node.required), ("maybe", node.conditional))
    looks = " ".join(["box", *(name for name, holds in marks if holds)])
    yield "<g>" if node.runs else '<g class="off">'
    if said := "\n".join(filter(None, (condition(node), for_each(node)))):
        yield f"<title>{escape(said)}</title>"
    yield f'<rect class="{looks}" x="{x:g}" y="{y:g}" width="{size.width:g}" height="{size.height:g}" rx="6"/>'
    for number, row in enumerate(rows):
        style = f' class="{row.style}"' if row.style else ""
        yield f'<text{style} x="{x + PAD:g}" y="{y + PAD + 10 + number * LINE:g}">{escape(row.text)}</text>'
    yield "</g>"


def _lines(graph: Graph, layout: Layout) -> Iterator[str]:
    for line, route in zip(graph.lines, layout.routes, strict=True):
        tip = "" if graph.vertices[line.target].node is None else ' marker-end="url(#tip)"'
        yield f'<path class="{_CLASS[line.kind]}"{tip} d="{_curve(route)}"/>'


def _curve(route: Sequence[Point]) -> str:
    """Level in a column, curved between columns."""
    path, last = [f"M{route[0].x:.1f},{route[0].y:.1f}"], route[0]
    for one, other in zip(route[::2], route[1::2], strict=True):
        if one is not route[0]:
            half = (last.x + one.x) / 2
            path.append(f"C{half:.1f},{last.y:.1f} {half:.1f},{one.y:.1f} {one.x:.1f},{one.y:.1f}")
        if other.x > one.x:
            path.append(f"H{other.x:.1f}")
        last = other
    return "".join(path)


def _legend_width(kind: Kind) -> float:
    return 40 + (len(_LEGEND[kind]) + 3) * LETTER


def _legend(kinds: Sequence[Kind], y: float) -> Iterator[str]:
    x = MARGIN
    for kind in kinds:
        yield f'<path class="{_CLASS[kind]}" d="M{x:g},{y - 4:g}h32"/>'
        yield f'<text class="q" x="{x + 40:g}" y="{y:g}">{_LEGEND[kind]}</text>'
        x += _legend_width(kind)
