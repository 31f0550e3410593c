"""What is known of workers and their endpoints from call to call: the books that policies read and write.

Owned by the process and keyed by worker and address, not by connection or configuration: a reload or a reconnect must not make
a broken endpoint look new. Nobody awaits between reading and writing one, so nothing is locked.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from dispatcher.policies.breaker import Breaker, State
from dispatcher.policies.budget import HedgeAllowance, RetryBudget
from dispatcher.policies.caches import Caches
from dispatcher.policies.ewma import PeakEwma
from dispatcher.policies.latency import Latencies
from dispatcher.policies.permits import InFlight, RateBucket
from dispatcher.policies.queue import Queue

UNTOLD: Final = -1
"""Nobody has said yet how many places a worker has."""


class EndpointBook:
    """One address of one worker."""

    __slots__ = ("address", "breaker", "ewma", "in_flight", "rate")

    def __init__(self, address: str) -> None:
        self.address = address
        self.breaker = Breaker()
        self.ewma = PeakEwma()
        self.in_flight = InFlight()
        self.rate = RateBucket()


class WorkerBook:
    """One worker. `turn` counts picks (round robin), `trial_at`: when it may be tried although every endpoint is open.

    `counts`: how often what was decided, by (what, why); `injected` counts calls that faults were drawn for; `shut`: endpoints
    whose breaker is not closed. `places`: how many calls the limit in force allows at once, None = any number; UNTOLD until
    somebody has said, which after a reload is the reload.
    """

    __slots__ = (
        "budget",
        "counts",
        "endpoints",
        "fail_open",
        "hedges",
        "injected",
        "latencies",
        "name",
        "places",
        "queue",
        "shut",
        "trial_at",
        "turn",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.budget = RetryBudget()
        self.hedges = HedgeAllowance()
        self.latencies = Latencies()
        self.queue = Queue()
        self.places: int | None = UNTOLD
        self.endpoints: dict[str, EndpointBook] = {}
        self.turn = 0
        self.shut = 0
        self.trial_at = 0
        self.fail_open = 0
        self.injected = 0
        self.counts: dict[tuple[str, str], int] = {}

    def endpoint(self, address: str) -> EndpointBook:
        """The book of an address; a new one if it is not known."""
        book = self.endpoints.get(address)
        if book is None:
            book = self.endpoints[address] = EndpointBook(address)
        return book

    def recount(self) -> None:
        """A breaker has changed its state, or its endpoint has gone."""
        self.shut = sum(1 for one in self.endpoints.values() if one.breaker.state is not State.CLOSED)

    def count(self, what: str, why: str) -> None:
        """Count a decision."""
        key = (what, why)
        self.counts[key] = self.counts.get(key, 0) + 1


class Books:
    """All of a process."""

    __slots__ = ("caches", "workers")

    def __init__(self) -> None:
        self.workers: dict[str, WorkerBook] = {}
        self.caches = Caches()

    def of(self, worker: str) -> WorkerBook:
        """The book of a worker; a new one if it is not known."""
        book = self.workers.get(worker)
        if book is None:
            book = self.workers[worker] = WorkerBook(worker)
        return book

    def keep(self, workers: Container[str]) -> None:
        """Forget the workers that are not among these, once nobody runs or waits there."""
        for name, book in tuple(self.workers.items()):
            if name not in workers and not book.queue.running and not len(book.queue):
                del self.workers[name]

    def drop(self, worker: str, address: str) -> None:
        """Forget an address that is gone; calls that still fly there settle with a book that nobody reads."""
        if (book := self.workers.get(worker)) is not None:
            book.endpoints.pop(address, None)
            book.recount()
