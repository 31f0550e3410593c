"""Layer 1: one count, and one span if the request is sampled, per branch, whatever happens below.

Outermost, so that time spent waiting for a place is seen too. It also says what the outcome means, unless flow has already
ended the branch (timeout, verdict), because a span is written once and must hold the final word.
"""

from __future__ import annotations

from dispatcher.layers.types import BranchCall, BranchLayer, BranchRun, Observer, Sink
from dispatcher.model.endings import ending_of
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import BranchState


def observe(observer: Observer) -> BranchLayer:
    """Tell `observer` when a branch enters its stack and when it leaves, cancelled or not."""

    def layer(call: BranchCall) -> BranchCall:
        async def observed(run: BranchRun, sink: Sink) -> Outcome:
            observer.branch_started(run)
            try:
                outcome = await call(run, sink)
                if run.state is not BranchState.FELL_BACK:  # flow has told what stands in for it
                    run.outcome = outcome
                if run.state is BranchState.PENDING:
                    run.state, run.reason = ending_of(outcome)
                return outcome
            finally:
                observer.branch_ended(run)

        return observed

    return layer
