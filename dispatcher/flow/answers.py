"""What a branch that has ended is to those that read it: its answer, its default, or nothing."""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.flow.sink import BranchSink
from dispatcher.layers.types import BranchRun
from dispatcher.model.reading import View
from fanmesh.model.endings import with_default
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.values import Value

ANSWERED = frozenset({BranchState.SUCCEEDED, BranchState.FELL_BACK})


class Answer(NamedTuple):
    """What there is of it. `whole` False: the parts of a stream that broke, which a write must not be fed by accident."""

    value: Value
    whole: bool = True


def answer_of(run: BranchRun, sink: BranchSink | None) -> Answer | None:
    """What a branch that has ended gives to nodes that read it; None: it is missing to them."""
    state = with_default(run.state, run.reason, run.node.if_missing)
    if state is BranchState.DEFAULTED:
        return Answer(run.node.default)
    outcome = run.outcome
    if state in ANSWERED and isinstance(outcome, Success):
        return Answer(outcome.value if not outcome.streamed or sink is None else sink.value())
    if run.reason is BranchReason.STREAM_BROKEN and sink is not None and outcome is not None and sink.keeps(outcome):
        return Answer(sink.value(), whole=False)
    return None


def view_of(run: BranchRun, answer: Answer | None) -> View:
    """How expressions see it. A branch without an answer is bound, too: an `if` decides about it rather than fails."""
    state, outcome = with_default(run.state, run.reason, run.node.if_missing), run.outcome
    ok = state in ANSWERED
    sure = outcome.confidence if ok and isinstance(outcome, Success) else None
    return View(ok=ok, state=state.name, confidence=sure or 0.0, output={} if answer is None else answer.value)
