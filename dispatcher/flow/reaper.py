"""Takes over what has not ended when a reply leaves, so that nothing is dropped without an owner.

A reply must not wait for the slowest cancellation, and a task without a reference may be collected while it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


class TaskReaper:
    """Process-wide. `adopted` counts all tasks ever taken over; `open` those that have not ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.adopted = 0

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

    async def drain(self, within: float) -> int:
        """Wait up to `within` seconds for all to end; how many have not."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        return len(self._tasks)
