"""What the branches have given: answers, the streams that run, and in which order they ended.

Apart from `state`, because counting decides when a request is complete and values never do.
"""

from __future__ import annotations

from typing import Final

from aggregator.engine.accumulate import Accumulator, PartError
from aggregator.engine.badlog import BadLog
from aggregator.engine.merging import Merge, MergeInput
from fanmesh.model.events import End, FoldNode, PartArrived
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.values import Value

R, S = BranchReason, BranchState

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
PENDING: Final = BranchState.PENDING
SUCCEEDED: Final = BranchState.SUCCEEDED
FELL_BACK: Final = BranchState.FELL_BACK
DEFAULTED: Final = BranchState.DEFAULTED


class Harvest:
    """Values by the position of their node in plan order."""

    __slots__ = ("_accepts", "_digest", "_ended", "_nodes", "_streams", "_sure", "_values")

    def __init__(self, nodes: tuple[FoldNode, ...], merge: Merge) -> None:
        self._nodes = nodes
        self._accepts = merge.strategy.accepts
        self._digest = merge.strategy.digest
        self._values: dict[int, MergeInput] = {}  # what ended
        self._ended = 0
        self._streams: dict[int, Accumulator] = {}
        self._sure: dict[int, float] = {}  # what a stream's parts said last of their confidence

    def part(self, at: int, part: PartArrived) -> bool:
        """Take a part of a stream. Whether it was new; BadLog if it cannot be joined."""
        stream = self._streams.get(at)
        if stream is None:
            stream = self._streams[at] = Accumulator()
        anew = part.replace or part.attempt > stream.attempt
        try:
            added = stream.add(part.attempt, part.part_seq, replace=part.replace, value=part.value)
        except PartError as refused:
            raise BadLog(f"{part.branch}: {refused}") from refused
        if added and (anew or part.confidence is not None):  # what replaces the parts replaces what was said of them
            self._sure[at] = part.confidence or 0.0
        return added

    def end(self, at: int, end: End, state: BranchState) -> bool:
        """Take the value of a branch that ended as `state`. Whether the merged value may now be another one.

        A stream that broke after parts keeps them, also where a default stands in for the branch: they are real.
        """
        stream = self._streams.pop(at, None) if self._streams else None
        place = self._ended
        self._ended += 1
        parts = stream if stream is not None and end.streamed and stream.attempt == end.attempt else None
        value: Value
        if end.state is SUCCEEDED or end.state is FELL_BACK:
            value = end.value if not end.streamed else None if parts is None else parts.value()
        elif parts is not None and end.reason is R.STREAM_BROKEN:
            value = parts.value()
        else:
            return stream is not None or state is DEFAULTED
        if why := self._accepts(end.branch, value):
            raise BadLog(f"the merge cannot take it: {why}")
        said = end.confidence
        sure = said if said is not None else self._sure.get(at, 0.0) if parts is not None else 0.0
        digest = None if self._digest is None else self._digest(value)
        self._values[at] = MergeInput(end.branch, value, place, confidence=sure, digest=digest)
        return True

    def inputs(self, states: list[BranchState]) -> list[MergeInput]:
        """What there is to merge, in plan order. The parts of a running stream count as far as the merge can take them."""
        found: list[MergeInput] = []
        values = self._values
        for at, (state, node) in enumerate(zip(states, self._nodes, strict=True)):
            if at in values:
                found.append(values[at])
            elif state is DEFAULTED:
                found.append(MergeInput(node.id, node.default, len(states), defaulted=True))
            elif state is PENDING and at in self._streams:
                stream = self._streams[at]
                value = stream.glance()  # a merge keeps nothing of its inputs
                if stream.attempt >= 0 and self._accepts(node.id, value) is None:
                    found.append(MergeInput(node.id, value, len(states) + at, confidence=self._sure.get(at, 0.0)))
        return found
