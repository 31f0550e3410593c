"""One attempt, from the moment it has an endpoint to its end: what is paid for it, when its timers start, who is told.

Apart from the race, because nearly every attempt is the only one of its branch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from dispatcher.layers.types import Attempt, AttemptCall, Now, Observer, Sink, Uniform
from dispatcher.model.plan import Worker
from dispatcher.policies.attempts import Denied
from dispatcher.policies.books import Books, WorkerBook
from dispatcher.policies.hedging import delay_of
from dispatcher.policies.overload import Stage
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AttemptKind

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
FIRST: Final = AttemptKind.FIRST


class Track(NamedTuple):
    """What the attempts of all branches share. `stage`: how overloaded this process is."""

    call: AttemptCall
    books: Books
    now: Now
    uniform: Uniform
    observer: Observer
    stage: Callable[[], Stage]


def leave(attempt: Attempt, now: int, track: Track) -> None:
    """Account for an attempt that leaves: from here on it is one. The first one starts the branch's timers.

    Raises CancelledError if that ends the branch: a timer that was late had been due before. Then the attempt has not left.
    """
    run = attempt.run
    worker = run.node.worker
    policy = worker.policy
    attempt.sent_at = now
    run.attempts.append(attempt)
    relay = run.relay
    if attempt.number == (0 if relay is None else relay.base):
        if run.started_at is None:  # else it has waited for another call before, and they run
            run.sent(run, now)
        if run.ended_at is not None:
            run.attempts.clear()
            attempt.endpoint = None
            raise asyncio.CancelledError
        if relay is not None:
            relay.left(run, now)
        if policy.max_attempts > 1:
            book = track.books.of(worker.name)
            if policy.retry is not None:
                book.budget.deposit(policy.retry.budget, now)
            if policy.hedge is not None:
                book.hedges.deposit(policy.hedge.max_extra_load)
                attempt.hedge_after = hedge_after(attempt, worker, book, now)
    attempt.deadline = run.deadline if relay is None else relay.until
    if policy.retry is not None and policy.retry.per_try_timeout is not None:
        attempt.deadline = min(attempt.deadline, now + policy.retry.per_try_timeout)
    track.observer.attempt_started(attempt)


def hedge_after(attempt: Attempt, worker: Worker, book: WorkerBook, now: int) -> int | None:
    """How long the first attempt may take before it is slow, in ns; None: it is not to be hedged, and why has been counted."""
    hedge = worker.policy.hedge
    if hedge is None or not worker.repeatable:
        return None
    after: int | Denied
    if attempt.run.request.inherited is not FIRST:
        after = Denied.INHERITED
    elif not attempt.elsewhere:
        after = Denied.NO_OTHER_ENDPOINT
    else:
        after = delay_of(hedge, book.latencies, now)
    if isinstance(after, Denied):
        book.count("hedge_denied", after.value)
        if after is not Denied.NO_OTHER_ENDPOINT:  # that is so for every request alike
            attempt.run.note("hedge_denied", after.value, now)
        return None
    return after


async def one(attempt: Attempt, sink: Sink, track: Track) -> Outcome:
    """Make one attempt. If it was refused an endpoint it has not left, and nobody is told of it."""
    try:
        outcome = attempt.outcome = await track.call(attempt, sink)
        return outcome
    finally:
        if attempt.endpoint is not None:
            attempt.ended_at = track.now()
            attempt.cancelled = attempt.outcome is None
            track.observer.attempt_ended(attempt)
