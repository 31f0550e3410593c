"""Branches whose answers other branches take over when their own workers have failed (`fallback: {branch: …}`).

Asked by a layer, answered by the owner: who has ended, and with what, only flow knows. A branch that is asked for runs as it
would have run anyway; the one that asks waits for it, at most until its own deadline, and not at all for one that will not run
because the request goes on no further.
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
    """Of one request. `runs` are its branches, `leaves` gives those of lists, `sinks` what has been streamed; all only read.

    `goes_on`: whether a branch will end although nothing more is started.
    """

    __slots__ = ("_goes_on", "_halted", "_leaves", "_runs", "_sinks", "_waiting")

    def __init__(
        self,
        runs: Sequence[BranchRun],
        leaves: Callable[[BranchRun], Sequence[BranchRun]],
        sinks: Mapping[int, BranchSink],
        goes_on: Callable[[BranchRun], bool],
        *,
        halted: bool,
    ) -> None:
        self._runs = runs
        self._leaves = leaves
        self._sinks = sinks
        self._goes_on = goes_on
        self._halted = halted
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    async def of(self, branch: str) -> Outcome:
        """What `branch` has answered, once it has ended. A default is no answer, and neither is part of one."""
        run = self._named(branch)
        if run.ended_at is None and (not self._halted or self._goes_on(run)):
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

    def halt(self) -> None:
        """Nothing more is started: those that wait for a branch that does not run wait in vain."""
        self._halted = True
        for run in [self._named(branch) for branch in self._waiting]:
            if not self._goes_on(run):
                self.ended(run)

    def clear(self) -> None:
        """Forget everything: the request is over."""
        self._waiting.clear()
        self._runs = ()
        self._leaves = _none
        self._goes_on = _never

    def _named(self, branch: str) -> BranchRun:
        return next(run for run in self._runs if run.node.id == branch)

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


def _never(_run: BranchRun) -> bool:
    """The request is over."""
    return False
