"""Which nodes of a plan wait for which: found from what their expressions read, and from the stages they stand in.

Positions and not names, and counted once per plan: a request only counts down. There are no levels in it, because a node that
waits for a level waits for the slowest of nodes it does not read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple


class Edges(NamedTuple):
    """What one node waits for, by the names of other nodes.

    `asks`: read by its `if`; `feeds`: read by what it is sent, or by what its answer becomes; `after`: only to end before it.
    """

    asks: frozenset[str] = frozenset()
    feeds: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()

    def all(self) -> frozenset[str]:
        """Everything that must have ended before the node starts."""
        return self.asks | self.feeds | self.after


NO_EDGES = Edges()


@dataclass(frozen=True, slots=True)
class Graph:
    """By position in plan order.

    `asks`, `feeds`: what each node reads; `before`: all that must have ended before it starts; `after`: the nodes that wait for
    it. `min_times` in ns; `tails`: the longest path of them among those that wait for a node. `backwards`: nodes, each after
    all that wait for it.
    """

    asks: tuple[tuple[int, ...], ...]
    feeds: tuple[tuple[int, ...], ...]
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]
    min_times: tuple[int, ...]
    tails: tuple[int, ...]
    backwards: tuple[int, ...]

    def tail(self, node: int, ended: Sequence[int]) -> int:
        """The time that must be left when `node` ends, for those that wait for it. `ended`: not 0 at those that need none."""
        if not self.tails[node] or not any(ended):
            return self.tails[node]
        left = [0] * len(self.tails)
        for one in self.backwards:  # and not from the node on: a chain may be longer than the stack is deep
            left[one] = max((self.min_times[j] + left[j] for j in self.after[one] if not ended[j]), default=0)
        return left[node]


def graph_of(names: Sequence[str], edges: Sequence[Edges], min_times: Sequence[int]) -> Graph | None:
    """The graph of a plan; None if no node waits for another. Raises ValueError for a cycle, and for a name that is none."""
    if not any(one.all() for one in edges):
        return None
    place = {name: position for position, name in enumerate(names)}
    if unknown := {name for one in edges for name in one.all()} - place.keys():
        raise ValueError(f"nodes wait for {', '.join(sorted(unknown))}, which the plan does not have")
    if ring := cycle(dict(zip(names, (one.all() for one in edges), strict=True))):
        raise ValueError(f"nodes wait for each other: {' → '.join(ring)}")

    def positions(waited: Collection[str]) -> tuple[int, ...]:
        return tuple(sorted(place[name] for name in waited))

    before = tuple(positions(one.all()) for one in edges)
    after: list[list[int]] = [[] for _ in names]
    for node, waited in enumerate(before):
        for other in waited:
            after[other].append(node)
    backwards = tuple(TopologicalSorter(dict(enumerate(before))).static_order())[::-1]
    tails = [0] * len(names)
    for node in backwards:
        tails[node] = max((min_times[j] + tails[j] for j in after[node]), default=0)
    return Graph(
        tuple(positions(one.asks) for one in edges),
        tuple(positions(one.feeds) for one in edges),
        before,
        tuple(map(tuple, after)),
        tuple(min_times),
        tuple(tails),
        backwards,
    )


def cycle(waits: dict[str, frozenset[str]]) -> tuple[str, ...]:
    """The names of a ring of nodes that wait for each other, the first one again at its end; empty if there is none."""
    try:
        TopologicalSorter({name: sorted(waited) for name, waited in waits.items()}).prepare()
    except CycleError as found:
        ring: list[str] = found.args[1]
        return tuple(ring)
    return ()
