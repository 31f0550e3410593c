"""The fold: one request's event log in, updates, a verdict and a result out.

A reducer and not a coroutine with timers, so that the log alone decides: the same log gives the same effects in the
dispatcher, in the Aggregator service, and when a failed one is replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aggregator.engine.alarms import Alarms
from aggregator.engine.badlog import BadLog
from aggregator.engine.completion import BY_PARTS, NOT_ACCEPTED, Terms, coverage_met, decide, floor_holds, grace_wait, terms
from aggregator.engine.harvest import Harvest
from aggregator.engine.merges import Merge, MergeError, compile_merge
from aggregator.engine.state import Books
from aggregator.engine.watch import Watch
from fanmesh.model.completion import CompilePredicate, Evaluate, Predicate
from fanmesh.model.coverage import Coverage
from fanmesh.model.endings import SATISFIES, at_exclusion
from fanmesh.model.events import (
    Alarm,
    Arm,
    Change,
    Effect,
    End,
    Event,
    FoldNode,
    Happening,
    PartArrived,
    Result,
    Start,
    Update,
    Verdict,
)
from fanmesh.model.gather import misfit
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, CompletedBy, EmitMode, IfMissing
from fanmesh.model.values import Value

R, S = BranchReason, BranchState

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
PENDING: Final = BranchState.PENDING
STARTED: Final = ChangeKind.STARTED
USE: Final = IfMissing.USE


def no_language(_predicate: Predicate, _attributes: Mapping[str, str]) -> Evaluate:
    """Whoever folds without a language knows no predicate."""
    raise ValueError("predicates are not known here")


class Fold:
    """One request. Feed it events in order; it answers each with what follows from it.

    Before an event, whatever was due earlier is fired at its own time (stop: at that instant too), so that a late timer
    changes nothing. A verdict found that way has applied the events before that one, and not the one that showed it.

    `verdict`: None until the request is complete. `late`: how many events came after that; alarms are not counted.
    `compile_predicate` makes a callable of what `until: predicate` asks: the language is not the fold's business.
    """

    __slots__ = (
        "_alarms",
        "_at",
        "_books",
        "_compile",
        "_harvest",
        "_merge",
        "_read",
        "_seq",
        "_snapshots",
        "_terms",
        "late",
        "verdict",
    )

    _alarms: Alarms
    _books: Books
    _harvest: Harvest
    _merge: Merge
    _terms: Terms
    _snapshots: bool

    def __init__(self, compile_predicate: CompilePredicate = no_language) -> None:
        self._compile = compile_predicate
        self.verdict: Verdict | None = None
        self.late = 0
        self._seq = -1
        self._at = 0
        self._read: tuple[Value, Coverage] | None = None  # the snapshot, until something changes it

    def apply(self, event: Event) -> list[Effect]:
        """Fold one event. Raises BadLog if it breaks the protocol; the fold is of no use afterwards.

        With EmitMode.SNAPSHOT there is an Update for each event that changes the value, and one just before an accepted
        Verdict that reads the final value: the last snapshot is the result. Verdict and Result come together, at most
        once; of a verdict that is not accepted, the Result has coverage and no value. An event after it gives nothing.
        """
        seq, at, happening = event
        if self.verdict is not None:
            self.late += not isinstance(happening, Alarm)
            return []
        if seq <= self._seq:
            raise BadLog(f"seq {seq} after {self._seq}")
        if at < self._at:
            raise BadLog(f"time goes back from {self._at} to {at} ns at seq {seq}")
        before = seq - 1
        if self._seq < 0:
            self._begin(happening)
            before = seq
        elif isinstance(happening, Start):
            raise BadLog("a second start")
        if at >= self._alarms.next and (effects := self._catch_up(before, at, inclusive=isinstance(happening, Alarm))):
            self.late += not isinstance(happening, Alarm | Start)
            return effects
        self._seq = seq
        self._at = at
        if isinstance(happening, End):
            return self._judge(seq, at, happening, changed=self._end(happening))
        if isinstance(happening, Change):
            changed = self._change(happening, at)
            return [] if changed is None else self._judge(seq, at, happening, changed=changed)
        if isinstance(happening, PartArrived):
            self._read = None
            node = self._open(happening.branch, happening.item)
            if not self._harvest.part(node, happening):
                return []
            return self._updates() if self._alarms.watch is None else self._judge(seq, at, happening, changed=True)
        if isinstance(happening, Alarm):
            return [] if (watch := self._alarms.watch) is None else watch.wishes()
        return self._judge(seq, at, happening, changed=False)

    def snapshot(self) -> tuple[Value, Coverage]:
        """The merged value so far, parts of running streams included, and its coverage; once complete, the result's."""
        if self._read is None:
            inputs = self._harvest.inputs(self._books.states, self._books.groups)
            self._read = self._merge.merge(inputs).value, self._books.coverage()
        return self._read

    @property
    def expression_errors(self) -> int:
        """How often the predicate could not be evaluated."""
        return 0 if self._seq < 0 or (watch := self._alarms.watch) is None else watch.errors

    def final_states(self) -> tuple[tuple[BranchState, BranchReason], ...]:
        """State and reason of every node, in plan order; before the verdict some are PENDING."""
        return tuple(zip(self._books.states, self._books.reasons, strict=True))

    def _begin(self, start: object) -> None:
        if not isinstance(start, Start):
            raise BadLog("the log does not begin with a start")
        try:
            self._merge = compile_merge(start.merge, [node.id for node in start.nodes])
        except MergeError as wrong:
            raise BadLog(f"merge: {wrong}") from wrong
        for node in start.nodes:
            if node.if_missing is USE and (why := self._default_misfits(node)):
                raise BadLog(f"the merge cannot take a default: {why}")
        self._books = Books(start.nodes)
        self._terms = terms(start.completion)
        self._alarms = Alarms(start.stop, start.completion.soft)
        self._harvest = Harvest(start.nodes, self._merge)
        self._snapshots = start.emit is EmitMode.SNAPSHOT
        if self._terms.watched:
            self._alarms.watch = Watch(start.completion, self._predicate(start))

    def _predicate(self, start: Start) -> Evaluate | None:
        if (predicate := start.completion.predicate) is None:
            return None
        try:
            return self._compile(predicate, dict(start.attributes))
        except ValueError as wrong:
            raise BadLog(f"predicate: {wrong}") from wrong

    def _default_misfits(self, node: FoldNode) -> str | None:
        """Why what stands in for a missing answer of the node cannot be merged; None = it can."""
        if node.gather is None:
            return self._merge.accepts(node.id, node.default)
        return misfit(node.gather, node.default)

    def _catch_up(self, applied_seq: int, at: int, *, inclusive: bool) -> list[Effect]:
        """Fire what was due before `at` (or at it, for an alarm), in order. At one instant: stop, endings, softs."""
        alarms = self._alarms
        while True:
            due = alarms.earliest()
            if due < alarms.stop and (due < at or (inclusive and due == at)):
                if alarms.fire(due, self._books):
                    if alarms.watch is not None:
                        self._ask(alarms.watch, due)
                    if by := decide(self._terms, self._books, alarms):
                        return self._conclude(by, applied_seq, due)
            elif alarms.stop <= at:
                return self._conclude(CompletedBy.HARD_TIMEOUT, applied_seq, alarms.stop)
            else:
                return []

    def _open(self, branch: str, item: int | None) -> int:
        """The position of a node that has not ended, and whose leaf `item` has not; BadLog if there is none."""
        books = self._books
        node = books.open(branch)
        group = books.groups.get(node)
        if item is None:
            if group is not None:
                raise BadLog(f"{branch!r} has been expanded: each of its items has an ending of its own")
            return node
        if group is None or not 0 <= item < len(group.keys):
            raise BadLog(f"{branch!r} has no item {item}")
        if group.states[item] is not PENDING:
            raise BadLog(f"{branch}[{item}] has already ended")
        return node

    def _change(self, change: Change, at: int) -> bool | None:
        """Note a node's fate. None: it has not ended by it; else whether the merged value may be another one."""
        books = self._books
        branch, kind, reason, item, keys, tolerated = change
        if kind is STARTED:
            node = books.open(branch) if item is None and not books.groups else self._open(branch, item)
            self._start(node, item, at)
            return None
        if kind is ChangeKind.PLANNED:
            books.open(branch)
            return None
        if kind is ChangeKind.EXPANDED and item is None:
            node = self._open(branch, None)
            if books.nodes[node].gather is None or books.started[node]:
                raise BadLog(f"{branch!r} is expanded although it {'has started' if books.started[node] else 'is one call'}")
            self._read = None
            books.expand(node, keys, tolerated)
            return False
        if kind is ChangeKind.EXCLUDED and reason is not R.NONE:
            node = self._open(branch, item)
            if item is not None:
                if books.groups[node].started[item]:
                    raise BadLog(f"{branch}[{item}] is excluded after it was started")
                self._read = None
                state = books.end_leaf(node, item, at_exclusion(reason, must=books.must[node]), reason)
                return self._takes_back(node) or state is S.DEFAULTED
            if books.started[node]:
                raise BadLog(f"{branch!r} is excluded after it was started")
            self._read = None
            return books.end(node, at_exclusion(reason, must=books.must[node]), reason) is S.DEFAULTED
        raise BadLog(f"{branch!r}: {kind.name} with reason {reason.name} is no fate of a node")

    def _start(self, node: int, item: int | None, at: int) -> None:
        """A call of the node was sent. Its soft timeout counts from the first one."""
        books = self._books
        if books.started[node] if item is None else books.groups[node].started[item]:
            return
        self._read = None
        if books.start(node, item):
            soft = books.nodes[node].soft
            if soft is not None and not books.must[node]:
                self._alarms.add_soft(at + soft, node)

    def _end(self, end: End) -> bool:
        """Note an ending. Whether the merged value may be another one."""
        if end.state is PENDING:
            raise BadLog(f"{end.branch!r} ends as PENDING")
        books, item = self._books, end.item
        node = books.open(end.branch) if item is None and not books.groups else self._open(end.branch, item)
        self._read = None
        if item is not None:
            changed = self._harvest.end(node, end, books.end_leaf(node, item, end.state, end.reason))
            return self._takes_back(node) or changed
        return self._harvest.end(node, end, books.end(node, end.state, end.reason))

    def _takes_back(self, node: int) -> bool:
        """Whether a node with leaves, one of which has ended, has now failed and takes back what they have given."""
        state = self._books.states[node]
        return state is not PENDING and state is not S.SUCCEEDED and self._harvest.drop(node)

    def _judge(self, seq: int, at: int, happening: Happening, *, changed: bool) -> list[Effect]:
        """Apply the rules after an event at `at`, the start among them: then nothing has come yet."""
        alarms = self._alarms
        books = self._books
        effects: list[Effect] = []
        if alarms.watch is not None and not isinstance(happening, Start):
            effects += self._attend(alarms.watch, at, news=changed and self._is_news(happening))
        if self._terms.target is not None and not alarms.grace_fixed and coverage_met(self._terms, books):
            if wait := grace_wait(self._terms, books, alarms.stop - at):
                alarms.add_grace(at + wait)
                effects.append(Arm(AlarmKind.GRACE, at + wait))
            else:
                alarms.grace_passed = True
        if by := decide(self._terms, books, alarms):
            return self._conclude(by, seq, at)
        return effects + self._updates() if changed else effects

    def _is_news(self, happening: Happening) -> bool:
        """Whether something has come of what changes the merged value. A failure changes it by what it takes away."""
        if not isinstance(happening, Change | End):
            return True
        books, item = self._books, happening.item
        node = books.index[happening.branch]
        return (books.states[node] if item is None else books.groups[node].states[item]) in SATISFIES

    def _attend(self, watch: Watch, at: int, *, news: bool) -> list[Effect]:
        """Let those rules see what has come that look at more than counts. What they wish for, if nothing completes now."""
        watch.came(at, self._alarms, news=news)
        if watch.confident:
            watch.surest = self._harvest.surest()
        self._ask(watch, at)
        return watch.wishes()

    def _ask(self, watch: Watch, at: int) -> None:
        """Let the predicate be asked, once the floor holds: before that its answer would change nothing."""
        books = self._books
        if floor_holds(self._terms, books):
            watch.ask(at, self._alarms, lambda: self.snapshot()[0], lambda: books.coverage().ratio)

    def _updates(self) -> list[Effect]:
        return [Update(self.snapshot)] if self._snapshots else []

    def _conclude(self, by: CompletedBy, applied_seq: int, at: int) -> list[Effect]:
        """End what has not ended, and merge. After stop the defaults that thereby come in decide about the floor too."""
        books = self._books
        if self._alarms.watch is not None and by in BY_PARTS:
            self._harvest.keep(books.states)
        books.close(by, plan_soft_passed=self._alarms.plan_soft_passed)
        accepted = by not in NOT_ACCEPTED and floor_holds(self._terms, books)
        coverage = books.coverage()
        result = Result(None, coverage)
        if accepted:
            merged = self._merge.merge(self._harvest.inputs(books.states, books.groups))
            result = Result(merged.value, coverage, merged.conflicts, merged.merged, merged.error)
        self._read = result.value, coverage
        self.verdict = Verdict(by, applied_seq, at, accepted)
        return [*(self._updates() if accepted else ()), self.verdict, result]
