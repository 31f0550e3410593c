"""What a further attempt has to pay before it leaves: the retry budget, the hedges' allowance, a place of the worker.

All or nothing, and given back if the attempt does not leave after all.
"""

from __future__ import annotations

from dispatcher.layers.queue import give_back
from dispatcher.model.plan import Worker
from dispatcher.policies.attempts import Denied
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.hedging import still
from dispatcher.policies.overload import Stage
from fanmesh.model.states import AttemptKind

HEDGE = AttemptKind.HEDGE


class Purse:
    """Of one branch. It came with one place of the worker; `extra` are those beyond it, for calls that are out at once."""

    __slots__ = ("_book", "_worker", "extra")

    def __init__(self, worker: Worker, book: WorkerBook) -> None:
        self._worker = worker
        self._book = book
        self.extra = 0

    def pay(self, kind: AttemptKind, now: int, *, remaining: int, out: int, stage: Stage) -> Denied | None:
        """Pay for an attempt, or say what it cannot pay. `out`: calls of the branch that are out; `remaining`: ns it has."""
        worker, book = self._worker, self._book
        if kind is HEDGE:
            if stage >= Stage.NO_HEDGES:
                return Denied.OVERLOAD
            if (why := still(book.latencies, remaining, now)) is not None:
                return why
            if not book.hedges.withdraw():
                return Denied.EXTRA_LOAD
        if worker.policy.retry is not None and not book.budget.withdraw(worker.policy.retry.budget, now):
            if kind is HEDGE:
                book.hedges.refund()
            return Denied.BUDGET
        if worker.limit.in_flight is not None and out > self.extra:
            if not book.queue.try_enter(book.places):
                self.refund(kind, now)
                return Denied.LIMIT
            self.extra += 1
        return None

    def refund(self, kind: AttemptKind, now: int) -> None:
        """The attempt has not left."""
        if kind is HEDGE:
            self._book.hedges.refund()
        if self._worker.policy.retry is not None:
            self._book.budget.refund(now)

    def returned(self, out: int) -> None:
        """A call is over: keep a place for each of those that are `out`, and the branch's own."""
        while self.extra and self.extra >= out:
            self.extra -= 1
            give_back(self._book)
