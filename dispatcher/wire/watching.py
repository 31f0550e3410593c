"""Looking names up again: from time to time, and soon after a worker could not be reached.

Asking again and again, because a name service tells nobody of changes, and the system's resolver does not say for how long an
answer holds. A rollout of pods is noticed within five seconds; a call that fails UNAVAILABLE is a sign that it has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum, unique
from typing import Final, TypeAlias

from dispatcher.flow.ports import Clock, Timer
from dispatcher.layers.types import Attempt
from dispatcher.model.plan import Worker
from dispatcher.wire.observers import Nobody
from dispatcher.wire.resolving import fixed_addresses
from fanmesh.model.fault import Code, Fault
from fanmesh.model.times import SECOND

EVERY: Final = 5 * SECOND
"""From the start of a lookup to the next one."""

LEAST: Final = SECOND
"""Between two lookups of a worker, whatever happens."""

Lookup: TypeAlias = Callable[[Worker], Awaitable[list[str]]]
Changed: TypeAlias = Callable[[Worker, list[str]], None]


@unique
class Phase(Enum):
    """What a watch is doing."""

    WAITING = "waiting"  # for its time
    LOOKING = "looking"  # a lookup runs; there is no second one beside it
    OVER = "over"  # nobody wants to know any more; an answer that still comes is thrown away


class Watch:
    """One worker. `found` is told what each lookup gave, unless that was nothing."""

    __slots__ = ("_began", "_clock", "_due", "_found", "_lookup", "_task", "_timer", "phase", "worker")

    def __init__(self, worker: Worker, clock: Clock, lookup: Lookup, found: Changed) -> None:
        self.worker = worker
        self.phase = Phase.WAITING
        self._clock = clock
        self._lookup = lookup
        self._found = found
        self._task: asyncio.Future[None] | None = None
        self._began = clock.now()  # whoever begins to watch has just looked
        self._due = self._began + EVERY
        self._timer: Timer = clock.call_at(self._due, self.tick)

    def nudge(self) -> None:
        """Look soon. While a lookup runs it does nothing: that one will tell."""
        soon = self._began + LEAST
        if self.phase is Phase.WAITING and soon < self._due:
            self._wait(soon)

    def tick(self) -> None:
        """The timer fired, perhaps too early, or too late to matter."""
        if self.phase is not Phase.WAITING:
            return
        now = self._clock.now()
        if now < self._due:
            self._wait(self._due)
            return
        self.phase = Phase.LOOKING
        self._began = now
        self._task = asyncio.ensure_future(self._look())

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self.phase = Phase.OVER
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        addresses: list[str] = []
        try:
            addresses = await self._lookup(self.worker)
        finally:
            if self.phase is Phase.LOOKING:
                self.phase = Phase.WAITING
                self._wait(max(self._began + EVERY, self._clock.now() + LEAST))
        if addresses and self.phase is Phase.WAITING:
            self._found(self.worker, addresses)

    def _wait(self, due: int) -> None:
        self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_at(due, self.tick)


class Watcher:
    """Watches every worker whose addresses can change."""

    def __init__(self, clock: Clock, lookup: Lookup, found: Changed) -> None:
        self._clock = clock
        self._lookup = lookup
        self._found = found
        self._watches: dict[str, Watch] = {}
        self._closed = False

    def watch(self, workers: Iterable[Worker]) -> None:
        """Watch these from now on and nobody else. What was being looked up for another target of a worker is thrown away."""
        wanted = {} if self._closed else {worker.name: worker for worker in workers if fixed_addresses(worker) is None}
        for name, watch in tuple(self._watches.items()):
            if name not in wanted or wanted[name].target != watch.worker.target:
                self._watches.pop(name).stop()
        for name, worker in wanted.items():
            if name in self._watches:
                self._watches[name].worker = worker
            else:
                self._watches[name] = Watch(worker, self._clock, self._lookup, self._found)

    def nudge(self, worker: str) -> None:
        """A worker could not be reached: its addresses may have changed."""
        if (watch := self._watches.get(worker)) is not None:
            watch.nudge()

    def close(self) -> None:
        """Watch nobody, ever again."""
        self._closed = True
        self.watch(())


class Nudge(Nobody):
    """Tells `nudge` the name of a worker whose attempt ended UNAVAILABLE."""

    def __init__(self, nudge: Callable[[str], None]) -> None:
        self._nudge = nudge

    def attempt_ended(self, attempt: Attempt) -> None:
        """Look at how it ended."""
        if isinstance(attempt.outcome, Fault) and attempt.outcome.code is Code.UNAVAILABLE:
            self._nudge(attempt.worker.name)
