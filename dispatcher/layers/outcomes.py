"""A task's ending as an outcome: a defect in a layer or a worker is that branch's failure, and nobody else's."""

from __future__ import annotations

import asyncio

from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome


def outcome_of(task: asyncio.Task[Outcome]) -> Outcome:
    """The outcome of a task that has ended; a bug, or a worker that cancels itself, becomes a fault."""
    if task.cancelled():
        return gave_up()
    bug = task.exception()
    return task.result() if bug is None else defect(bug, task)


def defect(bug: BaseException, task: asyncio.Task[Outcome] | None) -> Fault:
    """A bug as a fault; told to the loop's exception handler, because somebody has to mend it."""
    context = {"message": "a branch failed by a defect", "exception": bug, "task": task}
    (asyncio.get_running_loop() if task is None else task.get_loop()).call_exception_handler(context)
    return Fault(FaultKind.WORKER_ERROR, Code.INTERNAL, type(bug).__name__, origin=Origin.LOCAL)


def gave_up() -> Fault:
    """A cancellation that nobody here has asked for: the worker's error, as if it had said so over a wire."""
    return Fault(FaultKind.WORKER_ERROR, Code.CANCELLED, "the worker cancelled itself", origin=Origin.LOCAL)
