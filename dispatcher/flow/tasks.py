"""The tasks of a request, one for each branch that runs, and how they are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from dispatcher.flow.ports import Engine
from dispatcher.layers.types import BranchRun, Sink
from fanmesh.model.outcome import Outcome


class Tasks:
    """By the index of their run. `runs` are those of the request, and may become more."""

    __slots__ = ("_engine", "_loop", "_runs", "_stopped", "_tasks")

    def __init__(self, engine: Engine, runs: Sequence[BranchRun]) -> None:
        self._engine = engine
        self._runs = runs
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, asyncio.Task[Outcome]] = {}
        self._stopped: set[int] = set()

    def start(self, run: BranchRun, sink: Sink, done: Callable[[asyncio.Task[Outcome]], None]) -> None:
        """Let the branch run; `done` is told when it has ended."""
        task = self._tasks[run.index] = self._loop.create_task(self._engine.branch(run, sink))
        task.add_done_callback(done)

    def cancel(self, branches: Iterable[int], *, lasting: bool) -> None:
        """Cancel these branches where they still run. Nobody waits for them: the reaper owns them until they have ended.

        Once each: a second cancellation would cut the clean-up that the first one began. `lasting`: writes that are at a worker
        are left to end by themselves, at most until their own hard timeout.
        """
        cancelled = []
        for i in branches:
            task, run = self._tasks.get(i), self._runs[i]
            if task is None or task.done() or i in self._stopped:
                continue
            self._stopped.add(i)
            sent = run.started_at is not None and any(attempt.ended_at is None for attempt in run.made)
            if lasting and run.node.writes and sent:
                self._engine.reaper.detach(task, self._engine.clock, run.deadline)
            else:
                if not run.interrupted:
                    task.cancel()
                cancelled.append(task)
        if cancelled:
            self._engine.reaper.adopt(cancelled)

    def running(self, run: BranchRun) -> bool:
        """Whether its task has not ended."""
        task = self._tasks.get(run.index)
        return task is not None and not task.done()

    def clear(self) -> None:
        """Forget them: they refer back to the request."""
        self._tasks.clear()
