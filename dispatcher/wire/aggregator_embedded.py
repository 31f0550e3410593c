"""The merge in this process: the one file of the dispatcher that knows the aggregation engine.

Everything that the dispatcher needs of the engine comes through here, so that the services stay apart everywhere else. A
session is three attributes and a loop, because it is called for every event of every request.
"""

from __future__ import annotations

from collections.abc import Iterable

from aggregator.engine.accumulate import Accumulator
from aggregator.engine.fold import Fold
from aggregator.engine.merges import Merge, MergeError, compile_merge, merge_schema
from dispatcher.flow.ports import Deliver
from fanmesh.expr import evaluator
from fanmesh.model.events import Effect, Event, Update
from fanmesh.model.states import AggregatorMode

__all__ = ["Accumulator", "EmbeddedSession", "Merge", "MergeError", "compile_merge", "merge_schema"]


class EmbeddedSession:
    """One request's fold. Effects are delivered before `feed` returns. BadLog from `feed` is a defect of the caller."""

    __slots__ = ("_apply", "_deliver", "_fold")

    mode = AggregatorMode.EMBEDDED

    def __init__(self, deliver: Deliver) -> None:
        self._fold = Fold(evaluator)
        self._apply = self._fold.apply
        self._deliver = deliver

    @property
    def expression_errors(self) -> int:
        """How often the plan's predicate could not be evaluated."""
        return self._fold.expression_errors

    def feed(self, event: Event) -> None:
        """Fold the next event."""
        if effects := self._apply(event):
            deliver = self._deliver
            for effect in effects:
                deliver(effect)

    def replay(self, events: Iterable[Event]) -> None:
        """Fold what another aggregator was told before. Of the snapshots only the newest is worth delivering."""
        newest: Update | None = None
        deliver = self._deliver
        for event in events:
            for effect in self._apply(event):
                if isinstance(effect, Update):
                    newest = effect
                    continue
                if newest is not None:
                    deliver(newest)
                    newest = None
                deliver(effect)
        if newest is not None:
            deliver(newest)

    def finish(self) -> None:
        """Whatever follows from the log is on its way already; the owner is let go, because it holds this session, too."""
        self._deliver = _nobody

    def close(self) -> None:
        """Nothing is held."""


def _nobody(_effect: Effect) -> None:
    """Wants nothing more."""
