"""The service below all layers: so many calls at once, the others wait in line; for a while it is down, or four times as slow.

It is kinder than a real one: a call that was cancelled while it waited costs nothing, and one that is being served frees its
place at once. What still goes wrong is the callers' doing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from enum import Enum, unique

from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.times import MS, SECOND
from fanmesh.testing import VirtualClock
from fanmesh.testing.scripts import virtual_sleep

PLACES = 10
SERVICE = 50 * MS
SLOWER = 4


@unique
class Trouble(Enum):
    """What is wrong with it for a while."""

    DOWN = "down"  # its connections are refused
    OVERLOADED = "overloaded"  # a neighbour takes three quarters of the machine: a quarter of the calls get done


class Leaf:
    """`begins` and `ends` of its trouble in virtual ns. `seen` counts the attempts that came, by second; `busy`, `line` now."""

    def __init__(self, clock: VirtualClock, trouble: Trouble, begins: int, ends: int) -> None:
        self.seen: Counter[int] = Counter()
        self.attempts: Counter[str] = Counter()
        self._clock = clock
        self._trouble = trouble
        self._begins = begins
        self._ends = ends
        self._busy = 0
        self._line: deque[asyncio.Future[None]] = deque()

    def troubled(self) -> bool:
        """Whether something is wrong now."""
        return self._begins <= self._clock.now() < self._ends

    async def serve(self, request: str) -> Outcome:
        """One attempt of `request`."""
        self.seen[self._clock.now() // SECOND] += 1
        self.attempts[request] += 1
        if self.troubled() and self._trouble is Trouble.DOWN:
            await virtual_sleep(MS)
            kind, code = FaultKind.WORKER_ERROR, Code.UNAVAILABLE
            return Fault(kind, code, "connection refused", origin=Origin.TRANSPORT, sent=False, retryable=True)
        await self._place()
        try:
            await virtual_sleep(SERVICE * (SLOWER if self.troubled() else 1))
        finally:
            self._free()
        return Success("done")

    async def _place(self) -> None:
        if self._busy < PLACES:
            self._busy += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free()  # its turn had come in the same instant
            raise

    def _free(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1
