"""What the simulation of a case consists of beside its branches: endpoints, calls under way, the worker's book, and time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from dispatcher.config import Config
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.picking import Picked
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AttemptKind
from tests.conformance.policies.casebook import PolicyCase


class Place:
    """An endpoint."""

    spare = False

    def __init__(self, case: PolicyCase, index: int) -> None:
        self.case = case
        self.index = index
        self.address = str(index)
        self.up = case.away(index) != "dead"
        self.made = self.cancels = 0

    def ready(self) -> bool:
        """Whether it seems to be there."""
        return self.up


class Flight:
    """An attempt under way."""

    def __init__(self, number: int, kind: AttemptKind, place: Place, picked: Picked, sent_at: int, deadline: int) -> None:
        self.number = number
        self.kind = kind
        self.place = place
        self.picked = picked
        self.sent_at = sent_at
        self.deadline = deadline
        self.answered_at: int | None = None
        self.ended_at: int | None = None
        self.outcome: Outcome | None = None
        self.elsewhere = False
        self.parts = 0


class World:
    """One case: its book, its endpoints, and what is still to happen."""

    def __init__(self, case: PolicyCase, config: Config) -> None:
        self.case = case
        self.plan = config.catalogue.plans[case.name]
        self.node = self.plan.nodes[0]
        self.worker = self.node.worker
        self.book = WorkerBook(case.name)
        self.places = [Place(case, index) for index in range(len(case.endpoints))]
        self.now = 0
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: int, what: Callable[[], None]) -> None:
        """Let it happen then, after what was planned for that instant before."""
        heappush(self._agenda, (when, next(self._order), what))

    def run(self) -> None:
        """Everything, to the end."""
        while self._agenda:
            self.now, _, what = heappop(self._agenda)
            what()
