"""The graph of a plan as text: a tree, in which each node stands below one that it waits for, the one furthest from the start.

A graph is no tree, so what else a node waits for is said beside it. Boxes and crossing lines in characters were not taken: with
more than a handful of nodes nobody can follow them, and a reader without a screen never could.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

from fanmesh.cli.drawing.links import Kind, graph_of, kind_of
from fanmesh.cli.drawing.words import condition, cut, fate, for_each, times
from fanmesh.v1.dispatcher_pb2 import ExplainNode

STROKES: Final = {Kind.FEEDS: "├─└─", Kind.ASKS: "├┄└┄", Kind.AFTER: "╞═╘═"}
"""The branch of the tree, and the last one, by why a node waits for the one above it."""
LEGEND: Final = {
    Kind.FEEDS: "─ is fed by the one above",
    Kind.ASKS: "┄ its `if` reads it",
    Kind.AFTER: "═ waits for its stage",
}
WIDE: Final = 3
"""Columns that a node stands right of the one above it."""
DEEP: Final = 8
"""A tree deeper than this is indented less, so that there is room for words."""
DEEPEST: Final = 24
"""Columns of indentation at most; what is further down stands no further right."""
NARROW: Final = 20
"""With fewer columns left, what a node waits for stands on lines of its own."""


def tree(nodes: Sequence[ExplainNode], width: int) -> str:
    """The tree, in lines of at most `width` characters, with a legend of the strokes in it; empty if no node waits."""
    if not any(node.waits_for for node in nodes):
        return ""
    depth = [vertex.depth for vertex in graph_of(nodes).vertices]
    place = {node.branch: at for at, node in enumerate(nodes)}
    below: dict[int | None, list[int]] = {}
    for at, node in enumerate(nodes):
        waits = [(depth[place[other]], kind_of(node, other) is not Kind.AFTER, place[other]) for other in node.waits_for]
        below.setdefault(max(waits)[-1] if waits else None, []).append(at)
    drawn = list(_drawn(nodes, below, WIDE if max(depth) <= DEEP else 1))
    name = min(max(len(lead) + len(nodes[at].branch) for lead, _, at in drawn), DEEPEST + width // 4)
    when = max(len(_times(node)) for node in nodes)
    lines = [line for lead, rest, at in drawn for line in _lines(nodes[at], lead, rest, name, when, width)]
    strokes = {kind_of(nodes[at], nodes[parent].branch) for parent, some in below.items() if parent is not None for at in some}
    legend = " · ".join(text for kind, text in LEGEND.items() if kind in strokes)
    return "\n".join([*lines, *wrap(legend, width, initial_indent="  ", subsequent_indent="  ")])


def _drawn(nodes: Sequence[ExplainNode], below: dict[int | None, list[int]], step: int) -> Iterator[tuple[str, str, int]]:
    """Each node with what stands before its name, and before further lines about it. A stack, for a chain may be long."""
    stack = [(root, "", "") for root in reversed(below[None])]
    while stack:
        at, lead, rest = stack.pop()
        children = below.get(at, [])
        yield lead, rest + ("│" if children else ""), at
        for child in reversed(children):
            more, end = child != children[-1], 2 * (child == children[-1])
            stroke = STROKES[kind_of(nodes[child], nodes[at].branch)][end : end + 2]
            lead = rest + (f"{stroke} " if step == WIDE else stroke[0])
            stack.append((child, lead, rest + ("│" if more else " ").ljust(step) if len(rest) < DEEPEST else rest))


def _times(node: ExplainNode) -> str:
    return "  ".join(times(node))


def _lines(node: ExplainNode, lead: str, rest: str, name: int, when: int, width: int) -> Iterator[str]:
    marks = ["required"] if node.required else []
    marks += [f"after {', '.join(node.waits_for)}"] if node.waits_for else []
    marks += filter(None, [fate(node)])
    head = f"{cut(lead + node.branch, name):<{name}}  {_times(node):<{when}}"
    below = f"{rest:<{len(lead) + 2}}"
    beside = f"{rest:<{len(head) + 2}}" if width - len(head) >= NARROW else below
    said = wrap("  ".join(marks), max(width - len(beside), NARROW // 2))
    yield cut(f"{head}  {said.pop(0)}" if said and beside is not below else head, width).rstrip()
    yield from (f"{beside}{line}" for line in said)
    for told in filter(None, (condition(node), for_each(node))):
        yield from wrap(told, width, initial_indent=below, subsequent_indent=f"{below}   ")
