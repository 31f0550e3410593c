"""What the event log says of each branch, and under which number: whoever comes later than the verdict is told by it.

One place for the log and its marks, because they are written together: an ending whose mark and entry could part company would
be late in one process and in time in the other.
"""

from __future__ import annotations

import asyncio

from dispatcher.flow.happenings import end_of
from dispatcher.flow.ports import AggregationSession
from dispatcher.flow.prepare import must_answer
from dispatcher.layers.types import BranchRun
from dispatcher.model.request import Request
from fanmesh.model.endings import at_exclusion
from fanmesh.model.events import Change, Event, Happening, Verdict
from fanmesh.model.states import BranchReason, BranchState, ChangeKind


class Ledger:
    """Of one request. `runs` are its branches in plan order, and behind them the leaves of lists, by `BranchRun.index`.

    `at`: of the last entry, in ns since the arrival, and `seq` its number. `started`, `ended`: the numbers under which a run
    was sent and has ended; 0 = it has not. `verdict`: None until the request is complete.
    """

    __slots__ = ("_arrived", "_session", "at", "ended", "runs", "seq", "started", "verdict")

    def __init__(self, request: Request, runs: list[BranchRun], session: AggregationSession) -> None:
        self._arrived = request.arrived
        self._session = session
        self.runs = runs
        self.seq = 0
        self.at = 0
        self.started = [0] * len(runs)
        self.ended = [0] * len(runs)
        self.verdict: Verdict | None = None

    @property
    def now(self) -> int:
        """The clock's time of the last entry."""
        return self._arrived + self.at

    def log(self, at: int, what: Happening) -> asyncio.Future[None] | None:
        """Enter something. It may complete the request at once. The future, if any, is for who could send too much."""
        self.seq += 1
        self.at = max(self.at, at)
        return self._session.feed(Event(self.seq, self.at, what))

    def grow(self, leaves: list[BranchRun]) -> None:
        """Take on the leaves of a node. Their indices follow the others."""
        self.runs += leaves
        self.started += [0] * len(leaves)
        self.ended += [0] * len(leaves)

    def sent(self, run: BranchRun, at: int) -> bool:
        """A branch, or a leaf, was sent at `at`. Whether that was the node's first call."""
        node = run if run.parent is None else run.parent
        first = node is run or node.started_at is None
        run.started_at = self._arrived + at
        self.started[run.index] = self.seq + 1
        if first:
            node.started_at = run.started_at
            self.started[node.index] = self.seq + 1
        self.log(at, Change(run.node.id, ChangeKind.STARTED, item=run.item))
        return first

    def refuse(self, run: BranchRun, fate: BranchReason, at: int) -> None:
        """A node, or a leaf, will not be sent."""
        run.state, run.reason = at_exclusion(fate, must=must_answer(run.node, run.request)), fate
        run.ended_at = self._arrived + at
        self.ended[run.index] = self.seq + 1
        self.log(at, Change(run.node.id, ChangeKind.EXCLUDED, fate, run.item))

    def end(self, run: BranchRun, at: int, state: BranchState, reason: BranchReason, *, streamed: bool) -> None:
        """A branch, or a leaf, has ended. `streamed`: the parts in the log are its answer."""
        run.state, run.reason, run.ended_at = state, reason, self._arrived + at
        self.ended[run.index] = self.seq + 1
        self.log(at, end_of(run, streamed=streamed))

    def implied(self, run: BranchRun, state: BranchState, reason: BranchReason) -> None:
        """What was logged last has ended this one, too: the fold draws the same conclusion."""
        run.state, run.reason, run.ended_at = state, reason, self._arrived + self.at
        self.ended[run.index] = self.seq
