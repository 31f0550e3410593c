"""The gate between a streaming worker and the request's event log.

It puts the parts together as the fold will, because a part that cannot be joined, or that the plan's merge cannot take, must
end the attempt here: in the log there are only parts that fit. With `discard_broken`, or where an answer is mapped as a whole,
nothing enters the log until the stream has ended well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from dispatcher.flow.ports import Accumulator
from dispatcher.layers.shape import unusable
from dispatcher.layers.types import Attempt, BranchRun, Gate
from dispatcher.model.reading import Unreadable
from fanmesh.model.fault import Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.values import Value

Forward: TypeAlias = Callable[[BranchRun, Attempt, Part], "asyncio.Future[None] | None"]


class BranchSink:
    """The sink of one branch."""

    __slots__ = ("_attempt", "_forward", "_held", "_parts", "_run", "_wanted")

    def __init__(self, run: BranchRun, parts: Accumulator, forward: Forward, wanted: Callable[[BranchRun], bool]) -> None:
        self._run = run
        self._wanted = wanted
        self._forward = forward
        self._parts = parts
        self._attempt: Attempt | None = None
        self._held = run.node.whole_only

    def part(self, part: Part, attempt: Attempt) -> Gate | asyncio.Future[None] | Fault:
        """Take a part of `attempt`."""
        if not self._wanted(self._run):
            return Gate.STOP
        if attempt is not self._attempt:
            self._held = self._run.node.whole_only  # a fallback has its own mapping
        try:
            self._parts.add(attempt.number, part.seq, replace=part.replace, value=part.value)
        except ValueError as misfit:
            return unusable(f"part {part.seq}: {misfit}")
        self._attempt = attempt
        attempt.parts += 1
        if self._held:
            return Gate.GO
        return self._forward(self._run, attempt, part) or Gate.GO

    def completed(self, outcome: Outcome) -> Outcome:
        """The outcome of a stream that has ended: its whole must fit the plan as a unary answer must."""
        broken = isinstance(outcome, Fault)
        if (broken and not self.keeps(outcome)) or not self._parts_arrived():
            return outcome
        run, value = self._run, self._parts.value()
        if run.node.output is not None:
            mapped = run.node.output(run.reading(value))
            if isinstance(mapped, Unreadable):
                return unusable(f"output: {mapped.message}")
            value = mapped
        if (why := run.unfit(value)) is not None:
            return unusable(why)
        return outcome._replace(value=value, streamed=False) if self._held and isinstance(outcome, Success) else outcome

    def keeps(self, outcome: Outcome) -> bool:
        """Whether the parts in the log are part of the answer: the stream ended well, or broke and may be kept."""
        if self._held or not self._parts_arrived() or self._run.deciding not in {None, self._attempt}:
            return False  # or they are those of an attempt before the one that counts
        return isinstance(outcome, Success) or outcome.kind is FaultKind.STREAM_BROKEN

    def value(self) -> Value:
        """The parts so far, put together."""
        return self._parts.value()

    def _parts_arrived(self) -> bool:
        return self._attempt is not None and self._attempt.parts > 0


class NoSink:
    """The sink of a unary branch."""

    def completed(self, outcome: Outcome) -> Outcome:
        """Nothing was streamed."""
        return outcome

    def part(self, part: Part, attempt: Attempt) -> Gate | asyncio.Future[None] | Fault:
        """A unary call has no parts."""
        worker = attempt.run.node.worker.name
        raise AssertionError(f"a part from worker {worker}, which does not stream: add `stream: true` to it ({part})")
