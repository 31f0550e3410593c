"""The graph of a plan as a Mermaid flowchart, which code hosts and wikis draw where it stands in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fanmesh.cli.drawing.links import Kind, Vertex, graph_of
from fanmesh.cli.drawing.words import condition, cut, fate, for_each, times
from fanmesh.v1.dispatcher_pb2 import ExplainNode

ARROWS: Final = {Kind.FEEDS: "-->", Kind.ASKS: "-.->", Kind.AFTER: "==>"}
CLASSES: Final = {
    "required": "stroke-width:3px",
    "maybe": "stroke-dasharray:4 3",
    "off": "opacity:0.5",
    "joint": "stroke-width:3px",
}
LONGEST: Final = 60
"""Characters of an expression; the rest is in the configuration."""
_ESCAPES: Final = {ord(char): f"#{ord(char)};" for char in '#"<>&`\\'}
"""Mermaid's own escapes, for what would end a label in quotes, or be read as markup in it."""


def mermaid(nodes: Sequence[ExplainNode]) -> str:
    """The flowchart: solid lines for what is read, dotted for what an `if` reads, thick for a stage; no final newline."""
    graph = graph_of(nodes)
    lines = ["flowchart LR"]
    classes: dict[str, list[str]] = {name: [] for name in CLASSES}
    for at, vertex in enumerate(graph.vertices):
        lines.append(f'  n{at}["{_label(vertex.node)}"]' if vertex.node is not None else f'  n{at}(("stage"))')
        for name in _classes(vertex):
            classes[name].append(f"n{at}")
    lines += (f"  n{line.source} {ARROWS[line.kind]} n{line.target}" for line in graph.lines)
    for name, members in classes.items():
        if members:
            lines += [f"  classDef {name} {CLASSES[name]}", f"  class {','.join(members)} {name}"]
    return "\n".join(lines)


def _label(node: ExplainNode) -> str:
    name = node.branch if node.worker == node.branch else f"{node.branch} ← {node.worker}"
    rows = [
        name,
        *times(node),
        "required" if node.required else "",
        cut(condition(node), LONGEST),
        cut(for_each(node), LONGEST),
        fate(node),
    ]
    return "<br/>".join(row.translate(_ESCAPES) for row in rows if row)


def _classes(vertex: Vertex) -> list[str]:
    node = vertex.node
    if node is None:
        return ["joint"]
    return [name for name, holds in (("required", node.required), ("maybe", node.conditional), ("off", not node.runs)) if holds]
