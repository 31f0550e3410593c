"""The leaves of a node that was expanded over a list: how each of them stands, and what they make of the node.

Leaves are not nodes: their number is known only when their list is, and a plan of one node with a thousand leaves must not make
every rule look at a thousand things. Both the fold and the dispatcher keep these books, so they stand here, between them.
"""

from __future__ import annotations

from typing import Final

from fanmesh.model.endings import SATISFIES, leaf_fails
from fanmesh.model.states import BranchReason, BranchState

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
PENDING: Final = BranchState.PENDING
SUCCEEDED: Final = BranchState.SUCCEEDED
FELL_BACK: Final = BranchState.FELL_BACK
NONE: Final = BranchReason.NONE


class Leaves:
    """Of one node; lists are in the order of the items. `tolerated`: with more failures than that the node has failed.

    `answered`: leaves that SUCCEEDED or FELL_BACK; `satisfied`: those and the defaulted; `failed`: what counts as a failure.
    """

    __slots__ = ("answered", "failed", "keys", "open", "reasons", "satisfied", "started", "states", "tolerated")

    def __init__(self, keys: tuple[str, ...], tolerated: int) -> None:
        self.keys = keys
        self.tolerated = tolerated
        self.states = [PENDING] * len(keys)
        self.reasons = [NONE] * len(keys)
        self.started = [False] * len(keys)
        self.open = len(keys)
        self.answered = 0
        self.satisfied = 0
        self.failed = 0

    def is_open(self, item: int) -> bool:
        """Whether it has not ended. A write that is left behind has, although nobody knows how."""
        return self.states[item] is PENDING and self.reasons[item] is NONE

    def end(self, item: int, state: BranchState, reason: BranchReason) -> bool:
        """Note a leaf's ending, with its default where one stands in. Whether it is an answer."""
        self.states[item] = state
        self.reasons[item] = reason
        self.open -= 1
        answered = state is SUCCEEDED or state is FELL_BACK
        self.answered += answered
        self.satisfied += state in SATISFIES
        self.failed += leaf_fails(state, reason)
        return answered

    @property
    def lost(self) -> bool:
        """More leaves have failed than may."""
        return self.failed > self.tolerated

    @property
    def over(self) -> bool:
        """Nothing more comes of it."""
        return self.lost or not self.open

    def ending(self) -> tuple[BranchState, BranchReason] | None:
        """What the node has come to, once it is over; None: nothing, for no leaf was needed.

        Like its first leaf that failed, in the order of the items, where it failed: whoever was faster decides nothing.
        """
        if self.lost or (self.failed and not self.satisfied):
            ended = zip(self.states, self.reasons, strict=True)
            return next((state, reason) for state, reason in ended if reason is not NONE and leaf_fails(state, reason))
        return (SUCCEEDED, NONE) if self.satisfied else None
