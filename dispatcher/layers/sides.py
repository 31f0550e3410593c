"""The attempts of a branch that fly beside the one in its own task: each has a task, and nobody else owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from dispatcher.layers.types import Attempt
from fanmesh.model.outcome import Outcome

Done: TypeAlias = Callable[[Attempt, "asyncio.Task[Outcome]"], None]


class Sides:
    """Those of one branch."""

    __slots__ = ("_flying",)

    def __init__(self) -> None:
        self._flying: dict[Attempt, asyncio.Task[Outcome]] = {}

    def __len__(self) -> int:
        return len(self._flying)

    def start(self, attempt: Attempt, call: Coroutine[Any, Any, Outcome], done: Done) -> None:
        """Let it fly. `done` is told when it has ended, and does not count any more; not kept, for it refers back to this."""
        attempt.aside = True
        task = self._flying[attempt] = asyncio.get_running_loop().create_task(call)

        def ended(task: asyncio.Task[Outcome]) -> None:
            del self._flying[attempt]
            done(attempt, task)

        task.add_done_callback(ended)

    def stop(self, but: Attempt | None = None) -> None:
        """Cancel all, or all but one. Each once: a second cancellation would cut the clean-up that the first one began."""
        for attempt, task in self._flying.items():
            if attempt is not but and not attempt.stopped:
                attempt.stopped = True
                task.cancel()

    async def close(self) -> None:
        """Cancel all and see them to their end, even if whoever waits for that is cancelled meanwhile."""
        self.stop()
        cancelled: asyncio.CancelledError | None = None
        while self._flying:
            try:
                await asyncio.wait(self._flying.values())
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
