"""Layer 3: the joint between branch and attempts. At present a branch has one attempt.

Timers start at the send, not at the planning, so the branch is told here that it has been sent.
"""

from __future__ import annotations

from dispatcher.layers.types import Attempt, AttemptCall, BranchCall, BranchRun, Now, Observer, Sink
from dispatcher.model.deadlines import MIN_ATTEMPT
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AttemptKind


def attempts(call: AttemptCall, *, now: Now, observer: Observer) -> BranchCall:
    """Make the one attempt, unless less than 5 ms are left for it."""

    async def one(run: BranchRun, sink: Sink) -> Outcome:
        at = now()
        if run.deadline - at < MIN_ATTEMPT:
            return Fault(FaultKind.NO_TIME, Code.DEADLINE_EXCEEDED, "less than 5 ms were left", origin=Origin.LOCAL, sent=False)
        attempt = Attempt(run, 0, AttemptKind.FIRST, at)
        run.attempts.append(attempt)
        run.sent(run, at)
        observer.attempt_started(attempt)
        try:
            attempt.outcome = await call(attempt, sink)
            return attempt.outcome
        finally:
            attempt.ended_at = now()
            attempt.cancelled = attempt.outcome is None
            observer.attempt_ended(attempt)

    return one
