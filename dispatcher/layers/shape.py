"""Below injected faults, right above the leaf: an answer that the plan cannot use is a fault of the attempt.

At this place and not above the attempts, because the first *good* answer wins: one that cannot be mapped or merged is none.
"""

from __future__ import annotations

from dispatcher.layers.types import Attempt, AttemptCall, BranchRun, Sink
from dispatcher.model.reading import Unreadable
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success


def unusable(why: str) -> Fault:
    """The fault for an answer that this plan cannot use. Ours, and not the worker's: other plans may well be able to."""
    return Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL, why, origin=Origin.LOCAL)


def shape(call: AttemptCall) -> AttemptCall:
    """Apply the node's `output` mapping, then ask the plan's merge whether it can take the value."""

    async def shaped(attempt: Attempt, sink: Sink) -> Outcome:
        outcome = await call(attempt, sink)
        if attempt.parts:
            return sink.completed(outcome)
        if not isinstance(outcome, Success) or outcome.streamed:
            return outcome
        if attempt.run.node.cache is not None:
            attempt.answer = outcome
        return fitted(outcome, attempt.run)

    return shaped


def fitted(answer: Success, run: BranchRun) -> Outcome:
    """A worker's answer as this branch of this request gives it to the plan."""
    if run.node.output is not None:
        value = run.node.output(run.reading(answer.value))
        if isinstance(value, Unreadable):
            return unusable(f"output: {value.message}")
        answer = answer._replace(value=value)
    why = run.plan.accepts(run.node.id, answer.value) if run.node.each is None else run.unfit(answer.value)
    return answer if why is None else unusable(why)
