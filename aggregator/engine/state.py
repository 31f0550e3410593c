"""What the fold knows of the nodes: how each of them stands, and running counts of it.

Counts instead of a scan per event, because a fan-out of fifty would otherwise look at 2,500 nodes to decide once. The counts
are integers (see `exact`), so they are the same whatever the order of endings.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from aggregator.engine.badlog import BadLog
from fanmesh.model.coverage import OUTSIDE, Coverage, Tally, cover, leaf_tallies
from fanmesh.model.endings import FAILURES, at_verdict, with_default
from fanmesh.model.events import FoldNode
from fanmesh.model.exact import whole
from fanmesh.model.leaves import Leaves
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, IfMissing

R, S = BranchReason, BranchState

MANY: Final = 1 << 40
"""As many answers a node may give whose list is not known yet."""

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
    `groups`: the leaves of nodes that were expanded. Answers and weights are counted by leaf, duties by node.
    """

    __slots__ = (
        "failures",
        "groups",
        "index",
        "must",
        "must_lost",
        "must_met",
        "must_open",
        "nodes",
        "open_answers",
        "pending",
        "reasons",
        "running",
        "shares",
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
        self.groups: dict[int, Leaves] = {}
        self.shares: dict[int, Fraction] = {}  # what a leaf of each weighs
        self.unended = self.waited = count
        self.open_answers = sum(MANY if node.gather else 1 for node in nodes)  # that may still come
        self.must_open = sum(self.must)  # have not ended
        self.must_met = 0  # have done their duty
        self.must_lost = 0  # never will
        self.succeeded = 0  # SUCCEEDED and FELL_BACK
        self.failures = 0  # nodes that have failed, without a default
        self.running = 0  # calls that were sent and have not ended
        self.unwanted = 0  # SKIPPED for a reason in UNWANTED
        self.weight_ok: int | Fraction = 0
        self.total = sum(self.weights)  # weight that counts
        self.pending: int | Fraction = self.total  # weight that has not ended

    def open(self, branch: str) -> int:
        """The position of a node that has not ended; BadLog if there is none."""
        at = self.index.get(branch)
        if at is None:
            raise BadLog(f"unknown branch {branch!r}")
        if self.states[at] is not PENDING:
            raise BadLog(f"{branch!r} has already ended")
        return at

    def start(self, at: int, item: int | None) -> bool:
        """A call of the node, or of its leaf, was sent. Whether it is the node's first: its soft timeout counts from there.

        To be told once for each.
        """
        self.running += 1
        if item is not None:
            self.groups[at].started[item] = True
        if self.started[at]:
            return False
        self.started[at] = True
        return True

    def pass_soft(self, at: int) -> bool:
        """The node's own soft timeout has passed: it is no longer waited for. Whether that made a difference."""
        if self.states[at] is not PENDING:
            return False
        self.soft_passed[at] = True
        self.waited -= 1
        return True

    def end(self, at: int, state: BranchState, reason: BranchReason) -> BranchState:
        """Note an ending, with the node's default where one stands in, and return the state it has now.

        The default of a node with a list stands in for its items: where it has none, because the list never came, nothing does.
        """
        node = self.nodes[at]
        if node.if_missing is USE and node.gather is None:
            state = with_default(state, reason, USE)
        self.states[at] = state
        self.reasons[at] = reason
        weight = self.weights[at]
        must = self.must[at]
        self.open_answers -= MANY if node.gather else 1
        self.pending -= weight
        self.running -= self.started[at]
        self._done(at, state)
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

    def _done(self, at: int, state: BranchState) -> None:
        """A node is over: it is waited for no longer, and owes nothing that is open."""
        self.failures += state in FAILURES
        self.unended -= 1
        self.must_open -= self.must[at]
        if not self.soft_passed[at]:
            self.waited -= 1

    def expand(self, at: int, keys: tuple[str, ...], tolerated: int) -> None:
        """The node becomes a leaf for each key. Without any there is nothing to do for it, as if its `if` had been false."""
        if not keys:
            self.end(at, SKIPPED, R.CONDITION)
            return
        self.groups[at] = Leaves(keys, tolerated)
        self.shares[at] = Fraction(self.weights[at], len(keys))
        self.open_answers += len(keys) - MANY

    def end_leaf(self, at: int, item: int, state: BranchState, reason: BranchReason) -> BranchState:
        """Note a leaf's ending, like `end`; with it the node may be over."""
        state = self._note_leaf(at, item, state, reason)
        leaves = self.groups[at]
        if leaves.over:
            for other in range(len(leaves.keys)):
                if leaves.is_open(other):  # more have failed than may: nobody needs these
                    started, write, by = leaves.started[other], self.nodes[at].write, CompletedBy.BRANCH_FAILURE
                    self._note_leaf(at, other, *at_verdict(by, started=started, soft_passed=False, write=write))
            self._end_group(at, *(leaves.ending() or (SKIPPED, R.COMPLETION_MET)))
        return state

    def _note_leaf(self, at: int, item: int, state: BranchState, reason: BranchReason) -> BranchState:
        node, leaves, share = self.nodes[at], self.groups[at], self.shares[at]
        if node.if_missing is USE:
            state = with_default(state, reason, USE)
        self.open_answers -= 1
        self.pending -= share
        self.running -= leaves.started[item]
        if leaves.end(item, state, reason):
            self.succeeded += 1
            self.weight_ok += share
        return state

    def _end_group(self, at: int, state: BranchState, reason: BranchReason) -> None:
        """The node is over. One that failed has given nothing: what its leaves have answered does not count either."""
        self.states[at], self.reasons[at] = state, reason
        self._done(at, state)
        if state is SUCCEEDED:
            self.must_met += self.must[at]
            return
        leaves = self.groups[at]
        self.must_lost += self.must[at]
        self.succeeded -= leaves.answered
        self.weight_ok -= self.shares[at] * leaves.answered
        self.unwanted += state is SKIPPED and reason in UNWANTED

    def close(self, by: CompletedBy, *, plan_soft_passed: bool) -> None:
        """End whatever has not ended, as the request completes by `by`."""
        if not self.unended:
            return
        for at, state in enumerate(self.states):
            if state is PENDING:
                soft, write, leaves = plan_soft_passed or self.soft_passed[at], self.nodes[at].write, self.groups.get(at)
                own = at_verdict(by, started=self.started[at], soft_passed=soft, write=write)
                if leaves is None:
                    self.end(at, *own)
                    continue
                for item, started in enumerate(leaves.started):
                    if leaves.is_open(item):
                        self._note_leaf(at, item, *at_verdict(by, started=started, soft_passed=soft, write=write))
                self._end_group(at, *(leaves.ending() or own))

    def pending_weights(self) -> list[int | Fraction]:
        """What each node, and each leaf, that has not ended weighs."""
        found: list[int | Fraction] = []
        for at, state in enumerate(self.states):
            if state is PENDING:
                group = self.groups.get(at)
                found += [self.weights[at]] if group is None else [self.shares[at]] * group.open
        return found

    def coverage(self) -> Coverage:
        """Coverage as reports show it."""
        tallies: list[Tally] = []
        for at, node in enumerate(self.nodes):
            if (group := self.groups.get(at)) is None:
                tallies.append(Tally(self.states[at], self.reasons[at], node.weight, self.started[at]))
            else:
                leaves = zip(group.states, group.reasons, group.started, strict=True)
                tallies += leaf_tallies(leaves, len(group.keys), node.weight, self.states[at], self.reasons[at])
        return cover(tallies)
