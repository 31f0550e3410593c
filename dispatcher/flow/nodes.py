"""Which nodes run, and when: from the first decision to the last leaf of the last list.

The rest of the run is about what happens; this is about what is started because of it. A node is decided when those it reads
have ended (`staging`), started as one branch or as one for each item of its list (`expansion`), and over when that has ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from dispatcher.flow.alarms import Alarms, Due, Rank
from dispatcher.flow.expansion import Expansion
from dispatcher.flow.ledger import Ledger
from dispatcher.flow.ports import Engine
from dispatcher.flow.prepare import fate_of, mapped, must_answer, sheds
from dispatcher.flow.schedule import Step
from dispatcher.flow.sink import BranchSink, Forward, NoSink
from dispatcher.flow.staging import Staging
from dispatcher.flow.stand_ins import StandIns
from dispatcher.flow.tasks import Tasks
from dispatcher.layers.types import BranchRun, Relay
from dispatcher.model.plan import Plan
from fanmesh.model.endings import FAILURES, at_verdict, with_default
from fanmesh.model.events import Change
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import BranchReason, BranchState, ChangeKind, CompletedBy, OnFailure
from fanmesh.model.values import JsonValue

S, R = BranchState, BranchReason


class Heard(NamedTuple):
    """Who hears of what a branch does: its parts, whether they are wanted, and its task's end."""

    part: Forward
    wanted: Callable[[BranchRun], bool]
    done: Callable[[BranchRun, asyncio.Task[Outcome]], None]


NOBODY = Heard(lambda _run, _attempt, _part: None, lambda _run: False, lambda _run, _task: None)
"""Hears nothing: the request is over."""


class Nodes:
    """Those of one request. `stop`: the clock's time at which it ends at the latest; `halted`: nothing is started any more."""

    __slots__ = (
        "_alarms",
        "_engine",
        "_heard",
        "_ledger",
        "_plan",
        "_staging",
        "_stand_ins",
        "_starting",
        "_stop",
        "_turning",
        "_turns",
        "expansions",
        "halted",
        "sinks",
        "tasks",
    )

    def __init__(self, engine: Engine, plan: Plan, ledger: Ledger, alarms: Alarms, stop: int, heard: Heard) -> None:
        self._engine = engine
        self._plan = plan
        self._ledger = ledger
        self._alarms = alarms
        self._stop = stop
        self._heard = heard
        self.tasks = Tasks(engine, ledger.runs)
        self.sinks: dict[int, BranchSink] = {}
        self.expansions: dict[int, Expansion] = {}
        self.halted = False
        self._staging = None if plan.graph is None else Staging(plan.graph, ledger.runs, self.sinks, engine)
        self._stand_ins: StandIns | None = None
        self._turns: deque[Step] = deque()
        self._turning = False
        self._starting: list[BranchRun] = []

    # ------------------------------------------------------------------ deciding

    def first(self) -> list[tuple[BranchRun, BranchReason]]:
        """Who runs, and who does not, as far as that is known before anything has ended. Raises Malformed."""
        runs = self._ledger.runs
        if self._staging is None:
            shed = sheds(runs, self._engine)
            return [(run, fate_of(run, self._engine, shed=shed)) for run in runs]
        fates = [(runs[step.node], self._staging.fate(step)) for step in self._staging.first()]
        return [(run, fate) for run, fate in fates if fate is not None]

    def begin(self, fates: Sequence[tuple[BranchRun, BranchReason]], at: int) -> None:
        """Start those that run, and whoever can be decided because others do not. The log has begun."""
        self._turning = True
        for run, fate in fates:
            if self._ledger.verdict is not None:
                return
            if fate is R.NONE:
                self._starting.append(run)
            else:
                self._meet(run, fate, at)
        self._take_turns()

    def ended(self, run: BranchRun) -> None:
        """A branch has ended: what follows from that for the others."""
        if run.parent is not None:
            expansion = self.expansions[run.parent.index]
            expansion.ended(run)
            self._advance(expansion)
            return
        if self._stand_ins is not None:
            self._stand_ins.ended(run)
        if self._plan.completion.on_failure is not OnFailure.SETTLE and not self.halted:
            self.halted = with_default(run.state, run.reason, run.if_missing) in FAILURES
            if self.halted and self._stand_ins is not None:
                self._stand_ins.halt()
        if self._staging is None or self._ledger.verdict is not None or self.halted:
            return
        self._turns.extend(self._staging.ended(run.index, self.leaves(run)))
        if not self._turning:
            self._take_turns()

    def _meet(self, run: BranchRun, fate: BranchReason, at: int) -> None:
        """Put a node among those that start, or note why it does not; the latter may decide about those that read it."""
        if fate is R.NONE:
            self._starting.append(run)
        else:
            self._ledger.refuse(run, fate, at)
            self.ended(run)

    def _take_turns(self) -> None:
        """Decide whatever can be decided, then start what is to run: it has the time of those that turned out not to.

        In a loop, for one exclusion may bring on the next.
        """
        ledger = self._ledger
        self._turning = True
        while self._turns and ledger.verdict is None and self._staging is not None:
            step = self._turns.popleft()
            if not ledger.ended[step.node] and (fate := self._staging.fate(step)) is not None:
                self._meet(ledger.runs[step.node], fate, ledger.at)
        self._turning = False
        starting, self._starting = self._starting, []
        for run in sorted(starting, key=_place):
            if ledger.verdict is None and not self.halted:
                (self._launch if self._staging is None and run.node.each is None else self._spawn)(run)

    # ------------------------------------------------------------------ starting

    def _spawn(self, run: BranchRun) -> None:
        """Let a node run: as one branch, or as one for each item of its list."""
        ledger, each = self._ledger, run.node.each
        if self._staging is not None and (tail := self._staging.tail(run.index)):
            run.deadline = max(run.deadline - tail, ledger.now)  # those that wait for it need that much
        if each is None:
            self._launch(run)
            return
        first = len(ledger.runs)
        leaves = [leaf_of(run, first + item, item, *given) for item, given in enumerate(run.items or ())]
        allowed = each.allowed(len(leaves), must=must_answer(run.node, run.request))
        expansion = self.expansions[run.index] = Expansion(run, each, leaves, allowed)
        ledger.grow(leaves)
        ledger.log(ledger.at, Change(run.node.id, ChangeKind.EXPANDED, items=expansion.leaves.keys, tolerated=allowed))
        if leaves:
            self._advance(expansion)
        else:  # nothing to do: as if its `if` had been false
            ledger.implied(run, S.SKIPPED, R.CONDITION)
            self.ended(run)

    def _launch(self, run: BranchRun) -> None:
        """Start a branch's task: its turn has come."""
        run.ready_at = self._ledger.now
        sink: BranchSink | NoSink = NO_SINK
        if run.node.fallbacks:
            if self._stand_ins is None:
                self._stand_ins = StandIns(self._ledger.runs, self.leaves, self.sinks, self._goes_on, halted=self.halted)
            run.relay = Relay(self._stand_ins.of)
        if run.node.worker.streams or run.relay is not None:  # who is asked instead may stream
            sink = self.sinks[run.index] = BranchSink(run, self._engine.accumulator(), self._heard.part, self._heard.wanted)
        if run.deadline < self._stop:
            self._alarms.add(Due(run.deadline, Rank.ENDING, run.index, None))
            self._alarms.arm()
        self.tasks.start(run, sink, partial(self._heard.done, run))

    def _advance(self, expansion: Expansion) -> None:
        """Start the leaves that may run now; when no more come of it, the node is over."""
        ledger = self._ledger
        while ledger.verdict is None and not self.halted and (leaf := expansion.take()) is not None:
            if (fate := mapped(leaf, self._engine)) is R.NONE:
                self._launch(leaf)
            else:
                ledger.refuse(leaf, fate, ledger.at)
                expansion.ended(leaf)
        for leaf in expansion.doomed():
            if ledger.verdict is None and not expansion.leaves.over:
                ledger.refuse(leaf, R.UPSTREAM_MISSING, ledger.at)
                expansion.refused(leaf)
        if ledger.verdict is None and expansion.leaves.over and not ledger.ended[expansion.run.index]:
            self._close(expansion)

    def _close(self, expansion: Expansion) -> None:
        """A node is over, with the last of its leaves or before; the fold has concluded the same."""
        ledger = self._ledger
        left = [leaf for leaf in expansion.runs if not ledger.ended[leaf.index]]
        for leaf in left:  # more have failed than may: nobody needs these
            started, write = leaf.started_at is not None, leaf.node.writes
            ledger.implied(leaf, *at_verdict(CompletedBy.BRANCH_FAILURE, started=started, soft_passed=False, write=write))
        expansion.left = [leaf for leaf in left if leaf.state is S.PENDING]
        self.tasks.cancel([leaf.index for leaf in left], lasting=True)
        ledger.implied(expansion.run, *expansion.judge((S.SKIPPED, R.COMPLETION_MET)))
        self.ended(expansion.run)

    # ------------------------------------------------------------------ ending

    def leaves(self, run: BranchRun) -> Sequence[BranchRun]:
        """The leaves of a node; none if it has not been expanded, or the list was empty."""
        expansion = self.expansions.get(run.index)
        return () if expansion is None else expansion.runs

    def _goes_on(self, run: BranchRun) -> bool:
        """Whether a node will end although nothing more is started."""
        expansion = self.expansions.get(run.index)
        if expansion is None:
            return self.tasks.running(run)
        return all(self._ledger.ended[leaf.index] or self.tasks.running(leaf) for leaf in expansion.runs)

    def settle(self) -> None:
        """The request is complete, and every leaf has its ending: what their leaves have given decides about nodes, too."""
        for expansion in self.expansions.values():
            node = expansion.run
            for leaf in expansion.left:  # one that has ended since was not waited for all the same
                leaf.state, leaf.reason = S.PENDING, R.SOFT_TIMEOUT
            if not self._ledger.ended[node.index]:
                node.state, node.reason = expansion.judge((node.state, node.reason))
        self.tasks.cancel(range(len(self._ledger.runs)), lasting=True)

    def clear(self) -> None:
        """Let go of what refers back to the request."""
        self._heard = NOBODY
        self.tasks.clear()
        self.sinks.clear()
        self.expansions.clear()
        if self._stand_ins is not None:
            self._stand_ins.clear()


NO_SINK = NoSink()

_place = attrgetter("index")


def leaf_of(run: BranchRun, index: int, item: int, key: str, value: JsonValue) -> BranchRun:
    """The run of one item of a node's list. It has the node's deadline, and sees what the node sees."""
    leaf = BranchRun(run.request, run.plan, run.node, index, run.deadline, run.sent, run.alarm)
    leaf.parent, leaf.item, leaf.branches = run, item, run.branches
    leaf.item_key, leaf.item_value = key, value
    leaf.if_missing = run.node.if_missing
    return leaf
