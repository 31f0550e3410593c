"""Branches whose answers other branches take over when their own workers have failed (`fallback: {branch: …}`).

Asked by a layer, answered by the owner: who has ended, and with what, only flow knows. A branch that is asked for runs as it
would have run anyway; the one that asks waits for it, at most until its own deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from dispatcher.flow.answers import ANSWERED, answer_of, view_of
from dispatcher.flow.sink import BranchSink
from dispatcher.layers.types import BranchRun
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success


class StandIns:
    """Of one request. `runs` are its branches, `leaves` gives those of lists, `sinks` what has been streamed; all only read."""

    __slots__ = ("_leaves", "_runs", "_sinks", "_waiting")

    def __init__(
        self,
        runs: Sequence[BranchRun],
        leaves: Callable[[BranchRun], Sequence[BranchRun]],
        sinks: Mapping[int, BranchSink],
    ) -> None:
        self._runs = runs
        self._leaves = leaves
        self._sinks = sinks
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    async def of(self, branch: str) -> Outcome:
        """What `branch` has answered, once it has ended. A default is no answer, and neither is part of one."""
        run = next(run for run in self._runs if run.node.id == branch)
        if run.ended_at is None:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(branch, []).append(ended)
            await ended
        return self._answer(run)

    def ended(self, run: BranchRun) -> None:
        """Tell those that wait for `run`."""
        if self._waiting:
            for waiting in self._waiting.pop(run.node.id, ()):
                if not waiting.done():
                    waiting.set_result(None)

    def clear(self) -> None:
        """Forget everything: the request is over."""
        self._waiting.clear()
        self._runs = ()
        self._leaves = _none

    def _answer(self, run: BranchRun) -> Outcome:
        leaves = self._leaves(run)
        answer = answer_of(run, leaves, self._sinks)
        if run.state in ANSWERED and answer is not None:
            return Success(answer.value, view_of(run, answer, leaves)["confidence"] or None)  # what it used is its own
        text = f"branch {run.node.id}: {run.state.name}/{run.reason.name}"
        return Fault(FaultKind.WORKER_ERROR, Code.FAILED_PRECONDITION, text, origin=Origin.LOCAL, sent=False)


def _none(_run: BranchRun) -> Sequence[BranchRun]:
    """The request is over."""
    return ()
