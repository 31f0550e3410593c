"""When each node of a staged plan can be decided, by counting down what it still waits for.

A node starts the moment the last node it waits for has ended, and its `if` is asked the moment the last node that one reads
has: a node that is not wanted is out of the way early, and those before it then have its time, too.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import NamedTuple

from dispatcher.model.graph import Graph


@unique
class Turn(Enum):
    """What can be done about a node now."""

    ASK = "ask"  # its `if` can be evaluated; it still waits for others
    START = "start"  # it waits for nothing any more


class Step(NamedTuple):
    """The turn of the node at this position."""

    node: int
    turn: Turn


class Schedule:
    """The countdown of one request. Nodes that have ended early still get their turns; whoever asks skips them."""

    __slots__ = ("_graph", "_to_ask", "_to_start")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._to_ask = [len(read) for read in graph.asks]
        self._to_start = [len(waited) for waited in graph.before]

    def first(self) -> list[Step]:
        """What can be done before anything has ended, in plan order."""
        waiting = enumerate(zip(self._to_ask, self._to_start, strict=True))
        return [Step(node, Turn.ASK if start else Turn.START) for node, (ask, start) in waiting if not (ask and start)]

    def ended(self, node: int) -> list[Step]:
        """What can be done now that `node` has ended too, in plan order. To be told of each node once."""
        steps = []
        for other in self._graph.after[node]:
            asks = node in self._graph.asks[other]
            self._to_ask[other] -= asks
            self._to_start[other] -= 1
            if not self._to_start[other]:
                steps.append(Step(other, Turn.START))
            elif asks and not self._to_ask[other]:
                steps.append(Step(other, Turn.ASK))
        return steps
