"""A node that is called once for each item of a list: which of its leaves may be sent now, and what they make of it.

The leaves are branches like any other to everything below: each has its own attempts, timers and row. What they share is here:
how many run at once, whether the first few have to answer before the others, and how many may fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.layers.types import BranchRun
from dispatcher.model.each import Each
from fanmesh.model.endings import with_default
from fanmesh.model.leaves import Leaves
from fanmesh.model.states import BranchReason, BranchState

ANSWERS = frozenset({BranchState.SUCCEEDED, BranchState.FELL_BACK})


class Expansion:
    """Of one node, in one request. `run` is the node's own; its leaves are runs of their own, in the order of the items.

    `left`: writes that were at a worker when the node failed. They go on, and whatever comes of them, nobody waits for it.
    """

    __slots__ = ("_each", "_next", "_running", "_trusted", "leaves", "left", "run", "runs")

    def __init__(self, run: BranchRun, each: Each, runs: Sequence[BranchRun], tolerated: int) -> None:
        self.run = run
        self.runs = runs
        self.leaves = Leaves(tuple(leaf.item_key for leaf in runs), tolerated)
        self.left: Sequence[BranchRun] = ()
        self._each = each
        self._next = 0
        self._running = 0
        self._trusted = not each.canary

    def take(self) -> BranchRun | None:
        """The next leaf that may be sent now; None: none, for the time being."""
        each = self._each
        if self.leaves.over or self._next == len(self.runs):
            return None
        if (each.concurrency is not None and self._running >= each.concurrency) or (
            not self._trusted and self._next >= each.canary
        ):
            return None
        leaf = self.runs[self._next]
        self._next += 1
        self._running += 1
        return leaf

    def ended(self, leaf: BranchRun) -> None:
        """A leaf that was taken has ended."""
        self._running -= 1
        self._note(leaf)

    def refused(self, leaf: BranchRun) -> None:
        """A leaf will not be sent, for want of a canary that answered."""
        self._next += 1
        self._note(leaf)

    def _note(self, leaf: BranchRun) -> None:
        state = with_default(leaf.state, leaf.reason, leaf.if_missing)
        self._trusted |= state in ANSWERS
        self.leaves.end(leaf.item or 0, state, leaf.reason)  # a leaf always has one

    def doomed(self) -> Sequence[BranchRun]:
        """The leaves that nothing can let go any more: every canary has ended, and none has answered."""
        if self._trusted or self._running or self._next < min(self._each.canary, len(self.runs)) or self.leaves.over:
            return ()
        return self.runs[self._next :]

    def judge(self, otherwise: tuple[BranchState, BranchReason]) -> tuple[BranchState, BranchReason]:
        """What the node has come to when all its leaves have ended, some of them by the verdict; `otherwise`: if by nothing."""
        leaves = Leaves(self.leaves.keys, self.leaves.tolerated)
        for item, leaf in enumerate(self.runs):
            leaves.end(item, with_default(leaf.state, leaf.reason, leaf.if_missing), leaf.reason)
        self.leaves = leaves
        return leaves.ending() or otherwise
