"""The books of workers and endpoints as metrics: read when somebody asks, by the metrics thread, changing nothing.

Nothing is counted twice: what policies keep in order to decide is what is shown. Labels are workers, addresses, plans and
branches of the configuration and of its name service, and words of closed sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dispatcher.model.plan import Worker
from dispatcher.policies.books import Books, EndpointBook
from dispatcher.policies.breaker import State
from fanmesh.runtime.histograms import Gauge, Key, Tally
from fanmesh.runtime.metrics import Family

STATES: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}

APART: Final = frozenset({"hedge_won"})
"""Counted decisions that have a metric of their own."""


class BookMeasures:
    """Families over `books`. `workers`: those of the configuration in force; `now` in ns."""

    def __init__(self, books: Books, workers: Callable[[], dict[str, Worker]], now: Callable[[], int]) -> None:
        self._books = books
        self._workers = workers
        self._now = now
        worker, endpoint, branch = ("worker",), ("worker", "endpoint"), ("plan", "branch")
        self.families: tuple[Family, ...] = (
            Gauge("fanmesh_breaker_state", "0 closed, 1 half open, 2 open.", self._states, endpoint),
            Tally("fanmesh_breaker_transitions_total", "States entered.", self._transitions, (*endpoint, "to")),
            Tally("fanmesh_fail_open_total", "Calls let through although the breaker was open.", self._fail_open, worker),
            Gauge("fanmesh_limit_in_flight", "Branches that hold a place of a worker with a limit.", self._running, worker),
            Gauge("fanmesh_limit_waiting", "Branches that wait for a place.", self._waiting, worker),
            Gauge("fanmesh_endpoint_in_flight", "Calls in flight.", self._calls, endpoint),
            Gauge("fanmesh_retry_budget_remaining_ratio", "What retries and hedges have left.", self._budget, worker),
            Tally("fanmesh_hedges_won_total", "Hedges that answered before the attempt beside them.", self._won, worker),
            Tally(
                "fanmesh_policy_decisions_total",
                "What policies did or denied, out of the ordinary.",
                self._decisions,
                ("worker", "what", "why"),
            ),
            Tally(
                "fanmesh_cache_lookups_total", "How branches with a cache were answered.", self._lookups, (*branch, "result")
            ),
            Gauge("fanmesh_cache_entries", "Answers kept.", self._entries, branch),
            Gauge("fanmesh_cache_bytes", "Bytes of the answers kept.", self._bytes, branch),
        )

    def _each(self) -> list[tuple[str, EndpointBook]]:
        books = self._books.workers.copy()
        return [(name, endpoint) for name, book in books.items() for endpoint in book.endpoints.copy().values()]

    def _states(self) -> dict[Key, float]:
        return {(worker, one.address): STATES[one.breaker.state] for worker, one in self._each()}

    def _transitions(self) -> dict[Key, int]:
        return {
            (worker, one.address, state.value): count
            for worker, one in self._each()
            for state, count in one.breaker.transitions.copy().items()
        }

    def _calls(self) -> dict[Key, float]:
        return {(worker, one.address): one.in_flight.count for worker, one in self._each()}

    def _fail_open(self) -> dict[Key, int]:
        return {(name,): book.fail_open for name, book in self._books.workers.copy().items()}

    def _running(self) -> dict[Key, float]:
        return {(name,): book.queue.running for name, book in self._books.workers.copy().items() if self._limited(name)}

    def _waiting(self) -> dict[Key, float]:
        return {(name,): len(book.queue) for name, book in self._books.workers.copy().items() if self._limited(name)}

    def _limited(self, name: str) -> bool:
        worker = self._workers().get(name)
        return worker is not None and worker.limit.in_flight is not None

    def _budget(self) -> dict[Key, float]:
        now, found = self._now(), dict[Key, float]()
        for name, worker in self._workers().items():
            book = self._books.workers.get(name)
            if worker.policy.retry is not None and book is not None:
                found[name,] = book.budget.glance(worker.policy.retry.budget, now)
        return found

    def _won(self) -> dict[Key, int]:
        return {
            (name,): book.counts.get(("hedge_won", ""), 0)
            for name, book in self._books.workers.copy().items()
            if ("hedge", "slow") in book.counts
        }

    def _lookups(self) -> dict[Key, int]:
        caches = self._books.caches.branches.copy()
        return {(*at, result): count for at, cache in caches.items() for result, count in cache.counts.copy().items()}

    def _entries(self) -> dict[Key, float]:
        return {at: len(cache.store) for at, cache in self._books.caches.branches.copy().items()}

    def _bytes(self) -> dict[Key, float]:
        return {at: cache.store.bytes for at, cache in self._books.caches.branches.copy().items()}

    def _decisions(self) -> dict[Key, int]:
        return {
            (name, what, why): count
            for name, book in self._books.workers.copy().items()
            for (what, why), count in book.counts.copy().items()
            if what not in APART
        }
