"""What the fold knows of the nodes: how each of them stands, and running counts of it.

Counts instead of a scan per event, because a fan-out of fifty would otherwise look at 2,500 nodes to decide once. The counts
are integers (see `exact`), so they are the same whatever the order of endings.
"""

from __future__ import annotations

from typing import Final

from aggregator.engine.badlog import BadLog
from aggregator.engine.exact import whole
from fanmesh.model.coverage import OUTSIDE, Coverage, cover
from fanmesh.model.endings import at_verdict, with_default
from fanmesh.model.events import FoldNode
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, IfMissing

R, S = BranchReason, BranchState

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
PENDING: Final = BranchState.PENDING
SUCCEEDED: Final = BranchState.SUCCEEDED
FELL_BACK: Final = BranchState.FELL_BACK
DEFAULTED: Final = BranchState.DEFAULTED
SKIPPED: Final = BranchState.SKIPPED
USE: Final = IfMissing.USE
FAIL: Final = IfMissing.FAIL

UNWANTED: Final = OUTSIDE | {R.CONDITION_ERROR}
"""Reasons of a SKIPPED node that never was to run. When every node is such a one, the request is EMPTY."""


class Books:
    """Every node's standing, and the counts that completion decides by. Lists are in plan order.

    A node is PENDING until it ends; `started` tells one that runs from one that waits. `must`: required, or `if_missing: fail`.
    """

    __slots__ = (
        "index",
        "must",
        "must_lost",
        "must_met",
        "must_open",
        "nodes",
        "pending",
        "reasons",
        "soft_passed",
        "started",
        "states",
        "succeeded",
        "total",
        "unended",
        "unwanted",
        "waited",
        "weight_ok",
        "weights",
    )

    def __init__(self, nodes: tuple[FoldNode, ...]) -> None:
        count = len(nodes)
        self.nodes = nodes
        self.index = {node.id: at for at, node in enumerate(nodes)}
        if len(self.index) != count:
            raise BadLog("two nodes have the same id")
        try:
            self.weights = whole([node.weight for node in nodes])
        except ValueError as wrong:
            raise BadLog(f"weights must be finite and not negative: {wrong}") from wrong
        self.states = [PENDING] * count
        self.reasons = [R.NONE] * count
        self.started = [False] * count
        self.soft_passed = [False] * count
        self.must = [node.required or node.if_missing is FAIL for node in nodes]
        self.unended = self.waited = count
        self.must_open = sum(self.must)  # have not ended
        self.must_met = 0  # have done their duty
        self.must_lost = 0  # never will
        self.succeeded = 0  # SUCCEEDED and FELL_BACK
        self.unwanted = 0  # SKIPPED for a reason in UNWANTED
        self.weight_ok = 0
        self.pending = self.total = sum(self.weights)  # weight that has not ended; weight that counts

    def open(self, branch: str) -> int:
        """The position of a node that has not ended; BadLog if there is none."""
        at = self.index.get(branch)
        if at is None:
            raise BadLog(f"unknown branch {branch!r}")
        if self.states[at] is not PENDING:
            raise BadLog(f"{branch!r} has already ended")
        return at

    def pass_soft(self, at: int) -> bool:
        """The node's own soft timeout has passed: it is no longer waited for. Whether that made a difference."""
        if self.states[at] is not PENDING:
            return False
        self.soft_passed[at] = True
        self.waited -= 1
        return True

    def end(self, at: int, state: BranchState, reason: BranchReason) -> BranchState:
        """Note an ending, with the node's default where one stands in, and return the state it has now."""
        node = self.nodes[at]
        if node.if_missing is USE:
            state = with_default(state, reason, USE)
        self.states[at] = state
        self.reasons[at] = reason
        weight = self.weights[at]
        must = self.must[at]
        self.unended -= 1
        self.pending -= weight
        self.must_open -= must
        if not self.soft_passed[at]:
            self.waited -= 1
        if state is SUCCEEDED or state is FELL_BACK:
            self.succeeded += 1
            self.weight_ok += weight
            self.must_met += must
        elif state is DEFAULTED:
            self.must_met += must
        else:
            outside = state is SKIPPED and reason in OUTSIDE
            if outside:
                self.total -= weight
            else:
                self.must_lost += must
            self.unwanted += outside or (state is SKIPPED and reason in UNWANTED)
        return state

    def close(self, by: CompletedBy, *, plan_soft_passed: bool) -> None:
        """End whatever has not ended, as the request completes by `by`."""
        if not self.unended:
            return
        for at, state in enumerate(self.states):
            if state is PENDING:
                soft_passed = plan_soft_passed or self.soft_passed[at]
                self.end(at, *at_verdict(by, started=self.started[at], soft_passed=soft_passed, write=self.nodes[at].write))

    def coverage(self) -> Coverage:
        """Coverage as reports show it: floats added up in plan order."""
        weights = [node.weight for node in self.nodes]
        return cover(zip(self.states, self.reasons, weights, self.started, strict=True))
