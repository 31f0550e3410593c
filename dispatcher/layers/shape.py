"""Below injected faults, right above the leaf: an answer that the plan cannot use is a fault of the attempt.

At this place and not above the attempts, because the first *good* answer wins: one that cannot be mapped or merged is none.
"""

from __future__ import annotations

from dispatcher.layers.types import Attempt, AttemptCall, Sink
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
        run = attempt.run
        if run.node.output is not None:
            value = run.node.output(run.reading(outcome.value))
            if isinstance(value, Unreadable):
                return unusable(f"output: {value.message}")
            outcome = outcome._replace(value=value)
        why = run.unfit(outcome.value)
        return outcome if why is None else unusable(why)

    return shaped
