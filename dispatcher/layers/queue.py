"""Layer 2: wait for one of the worker's places, the most urgent first.

Above attempts, so that waiting happens once and nothing below ever queues: an attempt that waited would be neither sent nor
refused, and its timers would run for nothing. There is no timer here: flow ends a branch whose time is over, waiting or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from dispatcher.layers.types import BranchCall, BranchLayer, BranchRun, Now, Sink
from dispatcher.model.policy import LimitRule
from dispatcher.policies.books import Books, WorkerBook
from dispatcher.policies.queue import Admission, Queue, Queued, Stand, Ticket
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome


def queue(books: Books, *, now: Now) -> BranchLayer:
    """Hold one of the worker's places while the branch runs; refuse the branch if the queue is full, too."""

    def layer(call: BranchCall) -> BranchCall:
        def queued(run: BranchRun, sink: Sink) -> Coroutine[Any, Any, Outcome]:
            limited = run.node.worker.limit.in_flight is not None
            return waits(run, sink) if limited else call(run, sink)

        async def waits(run: BranchRun, sink: Sink) -> Outcome:
            limit = run.node.worker.limit
            book, at = books.of(run.node.worker.name), now()
            entered = await _entered(book.queue, limit, run)
            run.queued = now() - at
            if not entered:
                book.count("refused", "queue_full")
                run.note("refused", "queue_full", now())
                return full(run.node.worker.name)
            try:
                return await call(run, sink)
            finally:
                give_back(book, limit)

        return queued

    return layer


async def _entered(places: Queue, limit: LimitRule, run: BranchRun) -> bool:
    """Take a place, after waiting for it if need be; False: there is none, or somebody more important has taken it."""
    entry = places.enter(limit.in_flight, limit.queue, run.deadline, critical=run.request.critical)
    if not isinstance(entry, Queued):
        return entry is Admission.ENTERED
    if entry.evicted is not None:
        entry.evicted.payload()
    ticket, turn = entry.ticket, asyncio.get_running_loop().create_future()
    ticket.payload = lambda: None if turn.done() else turn.set_result(None)
    try:
        await turn
    except asyncio.CancelledError:
        places.forget(ticket)
        if ticket.stand is Stand.GRANTED:  # in the same step as it was cancelled: the place goes to the next
            wake(places.leave(limit.in_flight))
        raise
    return ticket.stand is Stand.GRANTED


def give_back(book: WorkerBook, limit: LimitRule) -> None:
    """A call of the worker is over: whoever waits longest in vain may have its place."""
    wake(book.queue.leave(limit.in_flight))


def wake(granted: list[Ticket]) -> None:
    """Tell them that their turn has come."""
    for ticket in granted:
        ticket.payload()


def full(worker: str) -> Fault:
    """There is no place, neither at the worker nor in its queue."""
    text = f"worker {worker}: its in-flight limit is reached, and its queue is full"
    return Fault(FaultKind.OVERLOADED, Code.RESOURCE_EXHAUSTED, text, origin=Origin.LOCAL, sent=False)
