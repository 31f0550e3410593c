"""Layer 2: wait for one of the worker's places, the most urgent first.

Above attempts, so that waiting happens once and nothing below ever queues: an attempt that waited would be neither sent nor
refused, and its timers would run for nothing. There is no timer here: flow ends a branch whose time is over, waiting or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from dispatcher.layers.types import BranchCall, BranchLayer, BranchRun, Now, Sink
from dispatcher.model.plan import Worker
from dispatcher.model.policy import LimitRule
from dispatcher.policies.books import UNTOLD, Books, WorkerBook
from dispatcher.policies.queue import Admission, Queued, Stand, Ticket
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
            if book.places == UNTOLD:
                book.places = limit.in_flight  # after a reload the new limit decides, also about requests that know the old one
            entered = await _entered(book, limit, run)
            run.queued += now() - at  # where it waited for its own worker, and for its fallback
            if not entered:
                book.count("refused", "queue_full")
                run.note("refused", "queue_full", now())
                return full(run.node.worker.name)
            try:
                return await call(run, sink)
            finally:
                give_back(book)

        return queued

    return layer


async def _entered(book: WorkerBook, limit: LimitRule, run: BranchRun) -> bool:
    """Take a place, after waiting for it if need be; False: there is none, or somebody more important has taken it."""
    places = book.queue
    entry = places.enter(book.places, limit.queue, run.deadline, critical=run.request.critical)
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
            give_back(book)
        raise
    return ticket.stand is Stand.GRANTED


def give_back(book: WorkerBook) -> None:
    """A call of the worker is over: the most urgent of those that wait may have its place, if the limit in force has it."""
    _wake(book.queue.leave(book.places))


def reloaded(books: Books, workers: Mapping[str, Worker]) -> None:
    """These are the workers from now on. Who waits under a limit that was raised, or is gone, runs at once.

    A request keeps the configuration it began with, but a place is shared by all: the newest limit decides who may have it.
    """
    limited = [name for name, worker in workers.items() if worker.limit.in_flight is not None]
    for name in dict.fromkeys(
        (*books.workers, *limited)
    ):  # also of those that nobody has called: the first may be an older request
        book, worker = books.of(name), workers.get(name)
        book.places = None if worker is None else worker.limit.in_flight
        _wake(book.queue.admit(book.places))
    books.keep(workers)


def _wake(granted: list[Ticket]) -> None:
    """Tell them that their turn has come."""
    for ticket in granted:
        ticket.payload()


def full(worker: str) -> Fault:
    """There is no place, neither at the worker nor in its queue."""
    text = f"worker {worker}: its in-flight limit is reached, and its queue is full"
    return Fault(FaultKind.OVERLOADED, Code.RESOURCE_EXHAUSTED, text, origin=Origin.LOCAL, sent=False)
