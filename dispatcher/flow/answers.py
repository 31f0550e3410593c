"""What a branch that has ended is to those that read it: its answer, its default, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dispatcher.flow.sink import BranchSink
from dispatcher.layers.types import BranchRun
from dispatcher.model.reading import View
from fanmesh.model.endings import with_default
from fanmesh.model.gather import gather
from fanmesh.model.outcome import Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.values import Value

ANSWERED = frozenset({BranchState.SUCCEEDED, BranchState.FELL_BACK})


class Answer(NamedTuple):
    """What there is of it. `whole` False: the parts of a stream that broke, which a write must not be fed by accident."""

    value: Value
    whole: bool = True


def answer_of(run: BranchRun, leaves: Sequence[BranchRun], sinks: Mapping[int, BranchSink]) -> Answer | None:
    """What a branch that has ended gives to nodes that read it; None: it is missing to them. `leaves`: of its list."""
    each = run.node.each
    if each is None:
        return _own(run, sinks.get(run.index))
    if run.items is not None and not run.items:
        return Answer(gather(each.gather, []))  # there was nothing to ask
    if run.state not in ANSWERED:
        return None
    given = [(leaf.item_key, _own(leaf, sinks.get(leaf.index))) for leaf in leaves]
    answers = [(key, answer.value) for key, answer in given if answer is not None]
    together = gather(each.gather, answers)  # type: ignore[arg-type]  # what does not fit is no answer
    return Answer(together, all(answer is None or answer.whole for _, answer in given))


def _own(run: BranchRun, sink: BranchSink | None) -> Answer | None:
    state = with_default(run.state, run.reason, run.if_missing)
    if state is BranchState.DEFAULTED:
        return Answer(run.node.default)
    outcome = run.outcome
    if state in ANSWERED and isinstance(outcome, Success):
        return Answer(outcome.value if not outcome.streamed or sink is None else sink.value())
    if run.reason is BranchReason.STREAM_BROKEN and sink is not None and outcome is not None and sink.keeps(outcome):
        return Answer(sink.value(), whole=False)
    return None


def view_of(run: BranchRun, answer: Answer | None, leaves: Sequence[BranchRun]) -> View:
    """How expressions see it. A branch without an answer is bound, too: an `if` decides about it rather than fails.

    One that was called for each item of a list is no surer than the least sure of its answers.
    """
    state = with_default(run.state, run.reason, run.if_missing)
    ok = state in ANSWERED
    sure = min((_sure(one) for one in (leaves or (run,)) if one.state in ANSWERED), default=0.0) if ok else 0.0
    return View(ok=ok, state=state.name, confidence=sure, output={} if answer is None else answer.value)


def _sure(run: BranchRun) -> float:
    return (run.outcome.confidence or 0.0) if isinstance(run.outcome, Success) else 0.0
