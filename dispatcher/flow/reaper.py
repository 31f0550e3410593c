"""Takes over what has not ended when a reply leaves, so that nothing is dropped without an owner.

A reply must not wait for the slowest cancellation, and a task without a reference may be collected while it runs. A write that
has been sent is not cancelled at all: whether it was done would be anybody's guess. It goes on to its own hard timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from dispatcher.flow.ports import Clock


class TaskReaper:
    """Process-wide. `adopted` and `detached` count the tasks ever taken over; of those `open` now, `writing` may go on."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.adopted = 0
        self.detached = 0
        self.writing = 0

    @property
    def open(self) -> int:
        """How many have not ended yet."""
        return len(self._tasks)

    def adopt(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Own these tasks, which are already cancelled, until they end."""
        for task in tasks:
            self.adopted += 1
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def detach(self, task: asyncio.Task[Any], clock: Clock, until: int) -> None:
        """Own a task that goes on until it ends, or is cancelled at `until` (the clock's ns)."""
        self.detached += 1
        self.writing += 1
        self._tasks.add(task)

        def too_long() -> None:
            task.cancel()

        timer = clock.call_at(until, too_long)

        def ended(task: asyncio.Task[Any]) -> None:
            timer.cancel()
            self.writing -= 1
            self._tasks.discard(task)

        task.add_done_callback(ended)

    async def drain(self, within: float, writes: float = 0.0) -> int:
        """Wait for all to end, up to `within` seconds, or `writes` if longer while some may go on; how many have not.

        Also for those that are handed over meanwhile: a request that ends may leave a write behind.
        """
        now = asyncio.get_running_loop().time
        began = now()
        while self._tasks and (left := began + (max(within, writes) if self.writing else within) - now()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return len(self._tasks)
