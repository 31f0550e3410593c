"""The types everything composes with.

    BranchCall  = (BranchRun, Sink) → Outcome      one branch, knows no endpoint
    AttemptCall = (Attempt, Sink)   → Outcome      one attempt on one endpoint
    Layer       = Call → Call of the same kind     the `attempts` layer is the one joint between the two kinds

An `Outcome` is a value; an exception out of a call means a bug or a cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum, unique
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

from dispatcher.model.plan import Node, Plan, unfit
from dispatcher.model.reading import NO_VIEWS, Input, Reading
from dispatcher.model.request import Request
from fanmesh.model.fault import Fault
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AttemptKind, BranchReason, BranchState, IfMissing
from fanmesh.model.values import JsonValue, Value


@unique
class Gate(Enum):
    """What to do after handing over a part."""

    GO = "go"
    STOP = "stop"  # nobody wants this attempt's parts any more


class Sink(Protocol):
    """Where an attempt's parts go."""

    def part(self, part: Part, attempt: Attempt) -> Gate | asyncio.Future[None] | Fault:
        """Take a part. A future: await it before the next read (back-pressure). A fault: the part cannot be used."""
        ...

    def completed(self, outcome: Outcome) -> Outcome:
        """The outcome of a stream that has ended: its whole must fit the plan as a unary answer must."""
        ...


class Note(NamedTuple):
    """A decision of a policy that is worth telling: what was done or denied, why, and when (the clock's ns).

    Only what is out of the ordinary is noted: a first attempt that answers has no notes. `endpoint` may be empty.
    """

    what: str
    why: str
    at: int
    endpoint: str = ""


StandIn: TypeAlias = Callable[[str], Awaitable[Outcome]]
"""The name of a branch → what it has answered, once it has ended; a Fault if that is nothing."""


class BranchRun:
    """One branch of one request while it runs. Owned by flow; layers read it and add attempts.

    `deadline` is the clock's time in ns. `state` and `reason` are PENDING and NONE until the branch has ended; whoever ends it
    (flow's alarm, or the observe layer from the outcome) sets them before anybody else looks. `own_timer`: the deadline is the
    branch's own timeout, not the request's. `sent` is to be called with the run and the time when the first attempt leaves.
    `alarm` asks flow, which owns all timers, to call `woken` at a time; the newest wish replaces (`wake_at`). `queued`: ns that
    it waited for a place. `ready_at`: when its turn came, for all that it waits for. `branches`: those that its expressions
    read. `deciding`: the attempt whose outcome is the branch's. `trace` belongs to the observer. `item`: it is a leaf of
    `parent`, for the item at this position of a list; `items`: (key, item) of those that a node is called for, once they are
    known. `stand_in`: asked by flow at the branch's hard timeout, whether something is given in the place of its answer.
    `relay`: None, unless it has a fallback; then `node`, `input` and `attempts` are those of whoever is asked now.
    `if_missing`: the node's, but never USE for one with a list, whose default stands in for an item and not for the whole.
    `why`: it did not run, and its reason does not say all; may quote the request's data, and so goes into the report alone.
    """

    __slots__ = (
        "alarm",
        "attempts",
        "branches",
        "deadline",
        "deciding",
        "ended_at",
        "if_missing",
        "index",
        "input",
        "item",
        "item_key",
        "item_value",
        "items",
        "node",
        "notes",
        "outcome",
        "own_timer",
        "parent",
        "plan",
        "queued",
        "ready_at",
        "reason",
        "relay",
        "request",
        "sent",
        "stand_in",
        "started_at",
        "state",
        "trace",
        "wake_at",
        "why",
        "woken",
    )

    def __init__(
        self,
        request: Request,
        plan: Plan,
        node: Node,
        index: int,
        deadline: int,
        sent: Callable[[BranchRun, int], None],
        alarm: Callable[[BranchRun, int], None] = lambda _run, _at: None,
    ) -> None:
        self.request = request
        self.plan = plan
        self.node = node
        self.index = index
        self.if_missing = node.if_missing if node.each is None or node.if_missing is not IfMissing.USE else IfMissing.SKIP
        self.parent: BranchRun | None = None
        self.item: int | None = None
        self.item_key = ""
        self.item_value: JsonValue = None
        self.items: tuple[tuple[str, JsonValue], ...] | None = None
        self.deadline = deadline
        self.own_timer = False
        self.input: Input = request.input
        self.branches = NO_VIEWS
        self.attempts: list[Attempt] = []
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.state = BranchState.PENDING
        self.reason = BranchReason.NONE
        self.outcome: Outcome | None = None
        self.sent = sent
        self.alarm = alarm
        self.wake_at = -1
        self.woken: Callable[[], None] | None = None
        self.queued = 0
        self.ready_at = request.arrived
        self.deciding: Attempt | None = None
        self.stand_in: Callable[[], Outcome | None] | None = None
        self.relay: Relay | None = None
        self.notes: list[Note] = NOTHING_NOTED
        self.trace: Any = None
        self.why = ""

    def reading(self, output: Value = None) -> Reading:
        """What its expressions read; `output`: its answer, where that is being mapped."""
        item = self.item
        if item is None:
            return Reading(self.request.input, self.request.attributes, output, self.branches)
        return Reading(self.request.input, self.request.attributes, output, self.branches, item=self.item_value, index=item)

    def unfit(self, value: Value) -> str | None:
        """Why the plan's merge cannot take a value of it; None = it can."""
        return unfit(self.node, value, self.plan.accepts)

    @property
    def base(self) -> int:
        """The number of the first attempt of who is asked now: 0, unless a fallback is."""
        return 0 if self.relay is None else self.relay.base

    @property
    def until(self) -> int:
        """When whoever has been asked must have answered: the branch's deadline, unless a fallback is to have time, too."""
        return self.deadline if self.relay is None else self.relay.until

    @property
    def made(self) -> Sequence[Attempt]:
        """Every attempt that has left, in order, whoever it went to."""
        return self.attempts if self.relay is None else sorted((*self.relay.others, *self.attempts), key=_number)

    @property
    def interrupted(self) -> bool:
        """Whether a layer has cancelled the attempt in the branch's task, and not the branch: that ends by itself then.

        The task cannot be asked (`cancelling`): what a worker cancels for itself, as `asyncio.timeout` does, counts there, too.
        """
        return any(one.stopped and not one.aside and one.ended_at is None for one in self.attempts)

    def note(self, what: str, why: str, at: int, endpoint: str = "") -> None:
        """Note a decision, for the report and the span. Once flow has ended the branch, nothing: its report may be out."""
        if self.ended_at is not None:
            return
        if self.notes is NOTHING_NOTED:
            self.notes = []
        if len(self.notes) < MAX_NOTES:
            self.notes.append(Note(what, why, at, endpoint))


NOTHING_NOTED: list[Note] = []
"""Shared by all branches without notes; never changed."""

MAX_NOTES = 32
"""A branch has few attempts, and each a decision or two: more would be a defect, and must not grow."""


async def nobody(branch: str) -> Outcome:
    """Of a run that has no other branches beside it."""
    raise AssertionError(f"branch {branch} is not here")


class Relay:
    """What a branch with a fallback has beyond others.

    `others`: the attempts of everybody but who is asked now. `base`: the number of the first attempt of who is. `patience`: ns
    from its send within which it is to answer; None: as long as the branch. `until`: when that is over. `stand_in` waits for
    another branch, and gives what that has answered.
    """

    __slots__ = ("base", "others", "patience", "stand_in", "until")

    def __init__(self, stand_in: StandIn = nobody) -> None:
        self.stand_in = stand_in
        self.others: Sequence[Attempt] = ()
        self.base = 0
        self.patience: int | None = None
        self.until = 0

    def left(self, run: BranchRun, now: int) -> None:
        """The first attempt of who is asked now leaves: it has as long as it may be waited for."""
        self.until = run.deadline if self.patience is None else min(run.deadline, now + self.patience)


class Attempt:
    """One attempt of a branch on one endpoint. Times are the clock's, in ns; `ended_at` None = it still flies.

    `worker`: who it goes to. `deadline`: when its own time is over, at most the branch's. `leave` is to be called when an
    endpoint has been picked, just before the call: only then it is an attempt. `answered_at`: when its first part came.
    `answer`: the worker's own, before the branch's `output`, where it is to be kept. `metadata` is what the observer wants sent
    along; `endpoint` is set by pick, and `elsewhere`: whether there is one that has not been tried.
    `hedge_after`: ns after which it is slow. `aside`: it flies in a task of its own, not in the branch's. `stopped`: we have
    cancelled its task for its sake (another has won, its own time is over); a second cancellation would cut its clean-up.
    """

    __slots__ = (
        "answer",
        "answered_at",
        "aside",
        "cancelled",
        "deadline",
        "elsewhere",
        "ended_at",
        "endpoint",
        "hedge_after",
        "kind",
        "leave",
        "metadata",
        "number",
        "outcome",
        "parts",
        "run",
        "sent_at",
        "stopped",
        "trace",
        "worker",
    )

    def __init__(
        self,
        run: BranchRun,
        number: int,
        kind: AttemptKind,
        sent_at: int,
        leave: Callable[[Attempt, int], None] = lambda _attempt, _now: None,
    ) -> None:
        self.run = run
        self.worker = run.node.worker
        self.number = number
        self.kind = kind
        self.sent_at = sent_at
        self.deadline = run.deadline
        self.leave = leave
        self.answered_at: int | None = None
        self.answer: Success | None = None
        self.elsewhere = False
        self.hedge_after: int | None = None
        self.endpoint: Any = None
        self.ended_at: int | None = None
        self.outcome: Outcome | None = None
        self.cancelled = self.stopped = self.aside = False
        self.parts = 0
        self.metadata: tuple[tuple[str, str], ...] = ()
        self.trace: Any = None

    @property
    def arrived(self) -> bool:
        """Whether its worker may have seen it."""
        return not isinstance(self.outcome, Fault) or self.outcome.sent


_number = attrgetter("number")

Uniform: TypeAlias = Callable[[], float]
"""A random number in [0, 1)."""

BranchCall: TypeAlias = Callable[[BranchRun, Sink], Coroutine[Any, Any, Outcome]]
AttemptCall: TypeAlias = Callable[[Attempt, Sink], Awaitable[Outcome]]
BranchLayer: TypeAlias = Callable[[BranchCall], BranchCall]
AttemptLayer: TypeAlias = Callable[[AttemptCall], AttemptCall]
Now: TypeAlias = Callable[[], int]


class Observer(Protocol):
    """Is told what happens, in order, and changes nothing. Called in the hot path: no I/O, no waiting."""

    def branch_started(self, run: BranchRun) -> None:
        """The branch enters its stack."""

    def attempt_started(self, attempt: Attempt) -> None:
        """An endpoint was picked; the call is about to leave. May set `attempt.metadata`."""

    def attempt_ended(self, attempt: Attempt) -> None:
        """The attempt is over: `outcome` and `ended_at` are set, or `cancelled`."""

    def branch_ended(self, run: BranchRun) -> None:
        """The branch is over: `state` and `reason` are set, and `outcome` unless it was cancelled."""
