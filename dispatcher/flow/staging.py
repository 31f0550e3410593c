"""The fate of each node of a staged plan, when its turn has come: it runs, on what others have answered, or it does not.

Apart from the run, which owns time and tasks: here is only what a node needs of others, and what follows where that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatcher.flow.answers import Answer, answer_of, view_of
from dispatcher.flow.ports import Engine
from dispatcher.flow.prepare import mapped, must_answer, sheds, wanted
from dispatcher.flow.schedule import Schedule, Step, Turn
from dispatcher.flow.sink import BranchSink
from dispatcher.layers.types import BranchRun
from dispatcher.model.graph import Graph
from dispatcher.model.reading import View
from fanmesh.model.states import BranchReason

R = BranchReason


class Staging:
    """Of one request. `runs` are its nodes, `sinks` what has been streamed; both are read and never changed."""

    __slots__ = ("_answers", "_asked", "_early", "_engine", "_graph", "_runs", "_schedule", "_sinks", "_views")

    def __init__(self, graph: Graph, runs: Sequence[BranchRun], sinks: Mapping[int, BranchSink], engine: Engine) -> None:
        self._graph = graph
        self._runs = runs
        self._sinks = sinks
        self._engine = engine
        self._schedule = Schedule(graph)
        self._asked: dict[int, bool] = {}  # and whether it held
        self._early: list[int] = []  # not 0 at those that ended while they still waited; empty if none did
        self._answers: dict[int, Answer | None] = {}
        self._views: dict[int, View] = {}

    def first(self) -> list[Step]:
        """Whose turn it is before anything has ended."""
        return self._schedule.first()

    def ended(self, node: int, leaves: Sequence[BranchRun] = ()) -> list[Step]:
        """Whose turn it is now that `node`, and with it its leaves, have ended."""
        run = self._runs[node]
        self._answers[node] = answer = answer_of(run, leaves, self._sinks)
        self._views[node] = view_of(run, answer, leaves)
        return self._schedule.ended(node)

    def fate(self, step: Step) -> BranchReason | None:
        """NONE: the node runs, on the input it has now; None: it waits on, or was refused before; else why it does not run."""
        node, run, graph = step.node, self._runs[step.node], self._graph
        if node not in self._asked:
            self._show(run, graph.asks[node])
            reason = wanted(run, self._engine)
            self._asked[node] = reason is R.NONE
            if reason is not R.NONE:
                if step.turn is Turn.ASK:
                    self._early = self._early or [0] * len(self._runs)
                    self._early[node] = 1
                return reason
        if step.turn is Turn.ASK or not self._asked[node]:
            return None
        if not must_answer(run.node, run.request) and sheds(self._runs, self._engine):
            return R.OVERLOAD
        if any(self._misses(run, self._answers[other]) for other in graph.feeds[node]):
            return R.UPSTREAM_MISSING
        self._show(run, (*graph.asks[node], *graph.feeds[node]))
        return mapped(run, self._engine)

    def tail(self, node: int) -> int:
        """The time in ns that must be left when `node`, which starts now, ends.

        Whoever waits for it has not ended, unless by an `if` that was asked early: without one nothing has to be counted again.
        """
        return self._graph.tail(node, self._early) if self._early else self._graph.tails[node]

    def _misses(self, run: BranchRun, answer: Answer | None) -> bool:
        """Whether an answer is none to the node: a write takes no part of one, unless the plan says so."""
        return answer is None or not (answer.whole or not run.node.writes or run.node.allow_partial_input)

    def _show(self, run: BranchRun, read: Iterable[int]) -> None:
        """Let the node's expressions see those that they read."""
        if read:
            run.branches = {self._runs[other].node.id: self._views[other] for other in read}
