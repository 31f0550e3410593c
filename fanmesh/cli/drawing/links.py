"""Nodes and lines of a plan's graph, before they are laid out.

A stage that waits for another would be a line from each to each. A joint takes their place, a line from each and a line to
each, because 5 × 5 lines in one gap are a grey area and not a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, unique
from graphlib import TopologicalSorter
from typing import NamedTuple

from fanmesh.v1.dispatcher_pb2 import ExplainNode


@unique
class Kind(Enum):
    """Why a node waits for another."""

    FEEDS = "reads"
    ASKS = "if"
    AFTER = "stage"


class Vertex(NamedTuple):
    """A node of the plan, or a joint between two stages (`node` None). `depth`: lines on the longest way that leads to it."""

    node: ExplainNode | None
    depth: int


class Line(NamedTuple):
    """From one vertex to another, by their places. One of several kinds is drawn as the first of them in the order of Kind."""

    source: int
    target: int
    kind: Kind


class Graph(NamedTuple):
    """Nodes in plan order, then joints."""

    vertices: tuple[Vertex, ...]
    lines: tuple[Line, ...]


def kind_of(node: ExplainNode, other: str) -> Kind:
    """Why `node` waits for `other`."""
    return Kind.FEEDS if other in node.feeds else Kind.ASKS if other in node.asks else Kind.AFTER


def graph_of(nodes: Sequence[ExplainNode]) -> Graph:
    """The graph of a plan; without lines if no node waits for another."""
    place = {node.branch: at for at, node in enumerate(nodes)}
    lines: list[Line] = []
    plain: list[frozenset[str]] = []
    for at, node in enumerate(nodes):
        kinds = {other: kind_of(node, other) for other in node.waits_for}
        lines += (Line(place[other], at, kind) for other, kind in kinds.items() if kind is not Kind.AFTER)
        plain.append(frozenset(other for other, kind in kinds.items() if kind is Kind.AFTER))
    barriers: dict[tuple[int, ...], list[int]] = {}
    for at, node in enumerate(nodes):
        if plain[at]:
            stage = _stage(plain[at], frozenset(node.waits_for), plain)
            barriers.setdefault(tuple(sorted(place[other] for other in stage)), []).append(at)
    joint = len(nodes)
    for before, after in barriers.items():
        if len(before) == 1 or len(after) == 1:
            lines += (Line(source, target, Kind.AFTER) for source in before for target in after)
        else:
            lines += (Line(source, joint, Kind.AFTER) for source in before)
            lines += (Line(joint, target, Kind.AFTER) for target in after)
            joint += 1
    depths = _depths(joint, lines)
    vertices = tuple(Vertex(nodes[at] if at < len(nodes) else None, depths[at]) for at in range(joint))
    return Graph(vertices, tuple(lines))


def _stage(plain: frozenset[str], waits: frozenset[str], others: Sequence[frozenset[str]]) -> frozenset[str]:
    """The stage that a node waits for, with those of it that the node also reads: as its neighbours have it."""
    return max((other for other in others if plain <= other <= waits), key=len)


def _depths(vertices: int, lines: Sequence[Line]) -> list[int]:
    before: dict[int, list[int]] = {at: [] for at in range(vertices)}
    for line in lines:
        before[line.target].append(line.source)
    depths = [0] * vertices
    for at in TopologicalSorter(before).static_order():
        depths[at] = max((depths[source] + 1 for source in before[at]), default=0)
    return depths
