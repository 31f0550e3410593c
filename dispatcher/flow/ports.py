"""What the story of a request needs from outside, as small protocols.

Everything that is a socket, a clock or a process reaches flow through these, so that the whole engine runs unchanged under
virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dispatcher.layers.types import BranchCall, BranchRun, Observer
from dispatcher.model.reading import Input
from dispatcher.model.request import Refusal, Request
from dispatcher.policies.overload import Stage
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import Effect, Event
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import AggregatorMode, CompletedBy
from fanmesh.model.values import JsonValue, Value

Deliver: TypeAlias = Callable[[Effect], None]


class Timer(Protocol):
    """Something that can be cancelled."""

    def cancel(self) -> None:
        """Forget it."""


class Clock(Protocol):
    """Time in ns, from any origin, never running backwards."""

    def now(self) -> int:
        """The time."""
        ...

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` at `when`; it may come early or late, so the callback looks at the time again."""
        ...


class AggregationSession(Protocol):
    """The fold over one request's event log, in this process or another.

    Effects come back through the `Deliver` that it was opened with: during `feed`, or later.
    """

    @property
    def mode(self) -> AggregatorMode:
        """Where the merge runs now."""
        ...

    @property
    def expression_errors(self) -> int:
        """How often the plan's predicate could not be evaluated in this process."""
        ...

    def feed(self, event: Event) -> asyncio.Future[None] | None:
        """Take the next event. A future: the way is full; await it before reading more of an appending stream."""
        ...

    def finish(self) -> None:
        """Nothing more comes. The result is still awaited."""

    def close(self) -> None:
        """Nobody wants the result any more."""


class Accumulator(Protocol):
    """The parts of one branch, put together. Parts of two attempts are never spliced."""

    def add(self, attempt: int, part_seq: int, *, replace: bool, value: Value) -> bool:
        """Take a part. Raises ValueError, saying why, if it cannot be joined to the parts before it."""
        ...

    def value(self) -> Value:
        """The whole so far."""
        ...


class Watch(Protocol):
    """Who wants to see a request while it runs."""

    def update(self, read: Callable[[], tuple[Value, Coverage]]) -> None:
        """The result so far has changed; `read` gives it."""

    def branch(self, row: BranchReport, read: Callable[[], Coverage]) -> None:
        """A branch was sent, or has ended; `read` gives the coverage so far."""


class RequestObserver(Observer, Protocol):
    """Is told about requests, too."""

    def request_started(self, request: Request) -> None:
        """It was accepted at the door."""

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """It is over. `report` None = it was refused before a plan was chosen."""

    def late(self, run: BranchRun) -> None:
        """A branch answered after the request was complete."""

    def expression_error(self, where: str) -> None:
        """An expression could not be evaluated: `route`, `if`, `input`, `predicate`."""


class Reaper(Protocol):
    """Takes over what has not ended when the reply leaves."""

    def adopt(self, tasks: Iterable[asyncio.Task[object]]) -> None:
        """Own these tasks, which are already cancelled, until they end."""

    def detach(self, task: asyncio.Task[object], clock: Clock, until: int) -> None:
        """Own a task that goes on: a write that has been sent. At `until`, its own hard timeout, it is cancelled."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What every request of this process shares. `box` wraps a mapped value as an input, `stage`: how overloaded we are."""

    clock: Clock
    branch: BranchCall
    aggregate: Callable[[Deliver, int], AggregationSession]
    accumulator: Callable[[], Accumulator]
    box: Callable[[JsonValue], Input]
    reaper: Reaper
    observer: RequestObserver
    stage: Callable[[], Stage] = lambda: Stage.CALM


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request ended. `refusal` None = OK, and `value` is the result. `wrote`: a write may have been done."""

    value: Value
    report: Report | None
    refusal: Refusal | None = None
    wrote: bool = False

    @property
    def completed_by(self) -> CompletedBy | None:
        """The rule that ended it, if a plan ran."""
        return self.report.completed_by if self.report else None
