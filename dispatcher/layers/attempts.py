"""Layer 3: the joint between branch and attempts.

Nearly every branch is one attempt that answers, so that is the path here: it runs in the branch's own task, and there is
neither a timer nor a state machine before there is something to decide. A worker that may be hedged, or answers in parts, races
from the start; any other begins to when its first attempt has failed (`race.py`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from dispatcher.layers.flight import Track, leave, one
from dispatcher.layers.race import Race
from dispatcher.layers.types import Attempt, BranchCall, BranchRun, Sink
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.policies.attempts import no_time
from fanmesh.model.fault import Fault
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AttemptKind

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
FIRST: Final = AttemptKind.FIRST


def attempts(track: Track) -> BranchCall:
    """Make the attempts of a branch, after or beside each other, as its worker's policy says; `node.least` must be left."""

    def leaves(attempt: Attempt, now: int) -> None:
        leave(attempt, now, track)
        if attempt.hedge_after is not None:
            attempt.run.alarm(attempt.run, now + attempt.hedge_after)

    async def branch(run: BranchRun, sink: Sink) -> Outcome:
        at = track.now()
        if run.deadline - at < run.node.least and not _in_time(run, at):
            return no_time(run.node.least)
        worker = run.node.worker
        policy = worker.policy
        if worker.streams and policy.max_attempts > 1:  # whose parts are taken is decided while they come
            return await Race(track, run, sink, asyncio.current_task()).run()
        attempt = Attempt(run, 0 if run.relay is None else run.relay.base, FIRST, at, leaves)
        if policy.hedge is not None:
            return await _watched(track, run, sink, attempt)
        outcome = await one(attempt, sink, track)
        if policy.max_attempts == 1 or not isinstance(outcome, Fault) or attempt.endpoint is None:
            return outcome
        return await Race(track, run, sink, asyncio.current_task()).land(attempt, outcome)

    return branch


def _in_time(run: BranchRun, at: int) -> bool:
    """Whether a first attempt is worth it although less than its `min_time` is left now.

    Branches before it leave it exactly that much. So it is counted from when its turn came, or else the time that a timer was
    late, or the loop needed to get here, would make every such node come too late. Waiting for a place counts.
    """
    return run.deadline - at >= MIN_ATTEMPT and run.deadline - run.ready_at - run.queued >= run.node.least


async def _watched(track: Track, run: BranchRun, sink: Sink, attempt: Attempt) -> Outcome:
    """The first attempt of a branch that may be hedged: when it is slow, a race begins beside it."""
    task = asyncio.current_task()
    race: Race | None = None

    def slow() -> None:
        nonlocal race
        race = Race(track, run, sink, task)
        race.join(attempt)

    run.woken = slow
    try:
        outcome = await one(attempt, sink, track)
    except asyncio.CancelledError:
        if race is not None:
            return await race.land(attempt, None)
        run.woken = None
        raise
    if race is None:
        run.woken = None
        if not isinstance(outcome, Fault) or attempt.endpoint is None:
            return outcome
        race = Race(track, run, sink, task)
    return await race.land(attempt, outcome)
