"""What the branches have given: answers, the streams that run, and in which order they ended.

Apart from `state`, because counting decides when a request is complete and values never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from aggregator.engine.accumulate import Accumulator, PartError
from aggregator.engine.badlog import BadLog
from aggregator.engine.merging import Merge, MergeInput
from fanmesh.model.events import End, FoldNode, PartArrived
from fanmesh.model.gather import gather, misfit
from fanmesh.model.leaves import Leaves
from fanmesh.model.states import BranchReason, BranchState, Gather
from fanmesh.model.values import JsonValue, Value

R, S = BranchReason, BranchState

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
PENDING: Final = BranchState.PENDING
SUCCEEDED: Final = BranchState.SUCCEEDED
FELL_BACK: Final = BranchState.FELL_BACK
DEFAULTED: Final = BranchState.DEFAULTED


_Place: TypeAlias = tuple[int, int | None]
"""A node, or a leaf of one."""


class _Leaf(NamedTuple):
    """What a leaf gave. `place`: in the order of endings."""

    value: JsonValue
    confidence: float
    place: int


class Harvest:
    """Values by the position of their node in plan order; those of leaves by the position of their item below that."""

    __slots__ = (
        "_accepts",
        "_answered",
        "_digest",
        "_ended",
        "_kept",
        "_leaves",
        "_nodes",
        "_streams",
        "_sure",
        "_values",
    )

    def __init__(self, nodes: tuple[FoldNode, ...], merge: Merge) -> None:
        self._nodes = nodes
        self._accepts = merge.strategy.accepts
        self._digest = merge.strategy.digest
        self._values: dict[int, MergeInput] = {}  # what ended
        self._leaves: dict[int, dict[int, _Leaf]] = {}
        self._kept: set[int] = set()  # nodes some of whose leaves are kept although they have not ended
        self._ended = 0
        self._answered: dict[int, float] = {}  # the best confidence of each node's answers
        self._streams: dict[_Place, Accumulator] = {}
        self._sure: dict[_Place, float] = {}  # what a stream's parts said last of their confidence

    def part(self, at: int, part: PartArrived) -> bool:
        """Take a part of a stream. Whether it was new; BadLog if it cannot be joined."""
        place = at, part.item
        stream = self._streams.get(place)
        if stream is None:
            stream = self._streams[place] = Accumulator()
        anew = part.replace or part.attempt > stream.attempt
        try:
            added = stream.add(part.attempt, part.part_seq, replace=part.replace, value=part.value)
        except PartError as refused:
            raise BadLog(f"{part.branch}: {refused}") from refused
        if added and (anew or part.confidence is not None):  # what replaces the parts replaces what was said of them
            self._sure[place] = part.confidence or 0.0
        return added

    def end(self, at: int, end: End, state: BranchState) -> bool:
        """Take the value of a branch, or of a leaf, that ended as `state`. Whether the merged value may now be another one.

        A stream that broke after parts keeps them, also where a default stands in for the branch: they are real.
        """
        stream = self._streams.pop((at, end.item), None) if self._streams else None
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
        said = end.confidence
        sure = said if said is not None else self._sure.get((at, end.item), 0.0) if parts is not None else 0.0
        node = self._nodes[at]
        if sure and end.reason is not R.STREAM_BROKEN:
            self._answered[at] = max(sure, self._answered.get(at, 0.0))
        if node.gather is not None and end.item is not None:
            if why := self._unfit(at, value):
                raise BadLog(f"{end.branch}[{end.item}]: {why}")
            self._leaves.setdefault(at, {})[end.item] = _Leaf(value, sure, place)  # type: ignore[arg-type]  # it fits: JSON
            return True
        if why := self._accepts(end.branch, value):
            raise BadLog(f"the merge cannot take it: {why}")
        digest = None if self._digest is None else self._digest(value)
        self._values[at] = MergeInput(end.branch, value, place, confidence=sure, digest=digest)
        return True

    def drop(self, at: int) -> bool:
        """A node with leaves has failed, and what these have given goes with it. Whether there was anything."""
        streams = [place for place in self._streams if place[0] == at]
        for place in streams:
            del self._streams[place]
        self._answered.pop(at, None)
        return bool(self._leaves.pop(at, None)) or bool(streams)

    def surest(self) -> float:
        """The best confidence of an answer, or of what a running stream's parts said last; 0.0 if none said anything."""
        running = (self._sure.get(place, 0.0) for place in self._streams)
        return max(max(self._answered.values(), default=0.0), max(running, default=0.0))

    def keep(self, states: list[BranchState]) -> None:
        """The parts of the streams that still run are to be in the result, whatever becomes of their branches now."""
        for (at, item), stream in self._streams.items():
            if states[at] is not PENDING:
                continue
            if item is None:
                if (part := self._part_of(at, self._nodes[at].id)) is not None:
                    self._values[at] = part
            elif stream.attempt >= 0 and self._unfit(at, value := stream.glance()) is None:
                leaf = _Leaf(value, self._sure.get((at, item), 0.0), self._ended + at)  # type: ignore[arg-type]  # it fits: JSON
                self._leaves.setdefault(at, {})[item] = leaf
                self._kept.add(at)

    def inputs(self, states: list[BranchState], groups: Mapping[int, Leaves] = MappingProxyType({})) -> list[MergeInput]:
        """What there is to merge, in plan order. The parts of a running stream count as far as the merge can take them."""
        found: list[MergeInput] = []
        values = self._values
        for at, (state, node) in enumerate(zip(states, self._nodes, strict=True)):
            if at in values:
                found.append(values[at])
            elif at in groups:
                if (state in GATHERED or at in self._kept) and (together := self._gathered(at, groups[at])) is not None:
                    found.append(together)
            elif state is DEFAULTED:
                found.append(MergeInput(node.id, node.default, self._ended + at, defaulted=True))
            elif state is PENDING and (at, None) in self._streams and (part := self._part_of(at, node.id)) is not None:
                found.append(part)
        return found

    def _part_of(self, at: int, branch: str) -> MergeInput | None:
        """What a running stream has given so far, as far as the merge can take it; it arrives after all that have ended."""
        stream = self._streams[at, None]
        value = stream.glance()  # a merge keeps nothing of its inputs
        if stream.attempt < 0 or self._accepts(branch, value) is not None:
            return None
        return MergeInput(branch, value, self._ended + at, confidence=self._sure.get((at, None), 0.0))

    def _unfit(self, at: int, value: Value) -> str | None:
        """Why a leaf's value cannot be part of the result; None = it can."""
        node = self._nodes[at]
        how = node.gather or Gather.LIST
        if (why := misfit(how, value)) is not None:
            return why
        return self._accepts(node.id, gather(how, [("", value)]))  # type: ignore[list-item]  # it fits: JSON

    def _gathered(self, at: int, group: Leaves) -> MergeInput | None:
        """What the leaves have given so far, as one value; no surer than the least sure of them. None: nothing.

        It arrives with the last of them, and while one of them is open after all that have ended.
        """
        node, leaves = self._nodes[at], self._leaves.get(at, {})
        answers: list[tuple[str, JsonValue]] = []
        sure, real = 1.0, False
        for item, (key, state) in enumerate(zip(group.keys, group.states, strict=True)):
            if (leaf := leaves.get(item)) is not None:
                answers.append((key, leaf.value))
                sure, real = min(sure, leaf.confidence), True
            elif state is DEFAULTED:
                answers.append((key, node.default))  # type: ignore[arg-type]  # checked when the log began
                sure = 0.0
            elif state is PENDING and (stream := self._streams.get((at, item))) is not None and stream.attempt >= 0:
                value = stream.glance()
                if self._unfit(at, value) is None:
                    answers.append((key, value))  # type: ignore[arg-type]  # it fits: JSON
                    sure, real = min(sure, self._sure.get((at, item), 0.0)), True
        if not answers:
            return None
        together = gather(node.gather or Gather.LIST, answers)
        place = self._ended + at
        if not group.open:
            place = max((leaf.place for leaf in leaves.values()), default=place)
        return MergeInput(node.id, together, place, defaulted=not real, confidence=sure)


GATHERED: Final = frozenset({PENDING, SUCCEEDED})
"""States of an expanded node whose leaves are part of the result."""
