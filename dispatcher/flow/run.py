"""One request from its first branch to its verdict: the single owner, a synchronous reducer.

Endings, parts and alarms come in as calls, in the loop's order; each becomes an entry of the event log, the log is folded
(here or in the Aggregator), and effects come back. The owner never awaits: the RPC coroutine waits for one future, branches
run in one task each, and all alarms share one timer. So there is no lock, and no timeout that fires during a merge is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.flow.alarms import Alarms, Due, Rank
from dispatcher.flow.happenings import part_of, tallies, wrote
from dispatcher.flow.ledger import Ledger
from dispatcher.flow.nodes import Heard, Nodes
from dispatcher.flow.ports import AggregationSession, Engine, Watch
from dispatcher.flow.prepare import soft_of, start_event
from dispatcher.flow.rows import row_of
from dispatcher.layers.outcomes import outcome_of
from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.deadlines import MIN_ATTEMPT, Deadlines, branch_deadline
from dispatcher.model.endings import ending_of
from dispatcher.model.plan import Plan
from dispatcher.model.request import Request
from fanmesh.model.coverage import Coverage, cover
from fanmesh.model.endings import at_verdict
from fanmesh.model.events import Alarm, Arm, Effect, Result, Start, Update, Verdict
from fanmesh.model.fault import Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, CompletedBy

S, R = BranchState, BranchReason


class Ending(NamedTuple):
    """What the run leaves behind."""

    verdict: Verdict
    result: Result


class Run:
    """The owner of one request. `verdict` is None until it is complete."""

    __slots__ = (
        "_alarms",
        "_armed",
        "_ending",
        "_engine",
        "_ledger",
        "_nodes",
        "_soft",
        "_watch",
        "deadlines",
        "plan",
        "request",
        "session",
    )

    def __init__(self, engine: Engine, plan: Plan, request: Request, deadlines: Deadlines, watch: Watch | None = None) -> None:
        self.plan = plan
        self.request = request
        self.deadlines = deadlines
        stop = request.arrived + deadlines.stop
        sent, alarm = self._sent, self._wake_at
        runs = [BranchRun(request, plan, node, i, stop, sent, alarm) for i, node in enumerate(plan.nodes)]
        self.session: AggregationSession = engine.aggregate(self._effect, request.arrived + deadlines.total)
        self._engine = engine
        self._watch = watch
        self._soft: int | None = None
        self._armed: dict[AlarmKind, int] = {}
        self._alarms = Alarms(engine.clock, self._timer)
        self._ledger = Ledger(request, runs, self.session)
        heard = Heard(self._part, self._wanted, self._task_done)
        self._nodes = Nodes(engine, plan, self._ledger, self._alarms, stop, heard)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    # ------------------------------------------------------------------ the story

    async def ending(self) -> Ending:
        """Run the plan. Cancelling this coroutine is how the caller's going away arrives: everything is cancelled at once.

        Raises Malformed if an expression reads a malformed input; nothing has been sent then.
        """
        try:
            self._begin()
            return await self._ending
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """The caller has gone, or the owner has failed: nothing more is spent. May be repeated."""
        self._settle(Verdict(CompletedBy.CALLER_GONE, self._ledger.seq, self._now(), accepted=False))
        self.session.close()

    def _begin(self) -> None:
        """Decide about every node that waits for no other, log the start, and send what is to run."""
        if self.plan.reads_late:
            _ = self.request.input.value  # it may be read later: if it is malformed, that is known before anything is sent
        fates = self._nodes.first()  # all before the first send
        start = start_event(self.plan, self.request, self.deadlines)
        self._set_plan_alarms(start)
        self._ledger.log(0, start)
        self._nodes.begin(fates, self._now())
        self._alarms.arm()

    def _set_plan_alarms(self, start: Start) -> None:
        arrived, self._soft = self.request.arrived, start.completion.soft
        self._alarms.add(Due(arrived + start.stop, Rank.STOP, -1, AlarmKind.STOP))
        if self._soft is not None:
            self._alarms.add(Due(arrived + self._soft, Rank.SOFT, -1, AlarmKind.PLAN_SOFT))

    # ------------------------------------------------------------------ what happens

    def _sent(self, run: BranchRun, now: int) -> None:
        """A branch's first attempt leaves: its timers start."""
        self._catch_up(now)
        if self._ledger.verdict is not None:
            return
        at = now - self.request.arrived
        if self._nodes.halted and run.parent is None:
            self._ledger.refuse(run, R.COMPLETION_MET, at)
            self._nodes.ended(run)
            return
        deadline = branch_deadline(now, run.node.timeout, run.deadline)
        if deadline < run.deadline:
            run.deadline, run.own_timer = deadline, True
            self._alarms.add(Due(deadline, Rank.ENDING, run.index, None))
        if self._ledger.sent(run, at) and (soft := soft_of(run.node, self.request, self.deadlines)) is not None:
            node = run if run.parent is None else run.parent
            self._alarms.add(Due(now + soft, Rank.SOFT, node.index, AlarmKind.BRANCH_SOFT))
        self._alarms.arm()
        if self._watch is not None:
            self._show(self._watch, run, now)

    def _wanted(self, run: BranchRun) -> bool:
        """Whether anybody waits for the branch's parts. Asked for each: a local stream may leave the timer no turn."""
        self._catch_up(self._engine.clock.now())
        return self._ledger.verdict is None and not self._ledger.ended[run.index]

    def _part(self, run: BranchRun, attempt: Attempt, part: Part) -> asyncio.Future[None] | None:
        """A part that fits, from a branch that is wanted."""
        now = self._engine.clock.now()
        return self._ledger.log(now - self.request.arrived, part_of(run, attempt, part))

    def _task_done(self, run: BranchRun, task: asyncio.Task[Outcome]) -> None:
        """A branch's task has ended, by itself or because it was cancelled here."""
        outcome, ledger = outcome_of(task), self._ledger
        if ledger.ended[run.index]:
            return  # ended by its alarm, and cancelled then
        if ledger.verdict is not None:
            self._late(run, outcome)
            return
        now = self._engine.clock.now()
        self._catch_up(now)
        if ledger.ended[run.index] or ledger.verdict is not None:
            return  # its timeout, or the verdict, was due before
        if isinstance(outcome, Fault) and outcome.kind is FaultKind.LOCAL_TIMEOUT and run.deadline - now < MIN_ATTEMPT:
            return  # the transport's clock runs ahead of ours: the alarm, due within milliseconds, ends the branch
        sink = self._nodes.sinks.get(run.index)
        run.outcome = outcome
        ending = ending_of(outcome)
        self._end(run, now - self.request.arrived, *ending, streamed=sink is not None and sink.keeps(outcome))
        self._alarms.arm()

    def _late(self, run: BranchRun, outcome: Outcome) -> None:
        """It answered although nobody waits any more: counted, never merged."""
        if isinstance(outcome, Success):
            self._engine.observer.late(run)
            if run.reason is R.COMPLETION_MET:
                run.reason = R.LATE

    def _end(self, run: BranchRun, at: int, state: BranchState, reason: BranchReason, *, streamed: bool = False) -> None:
        """Log a branch's ending, and let those begin that waited for it."""
        self._ledger.end(run, at, state, reason, streamed=streamed)
        if self._watch is not None:
            self._show(self._watch, run, self.request.arrived + at)
        self._nodes.ended(run)

    def _show(self, watch: Watch, run: BranchRun, now: int) -> None:
        watch.branch(row_of(run, now, merged=False), self.coverage)

    # ------------------------------------------------------------------ time

    def _now(self) -> int:
        return self._engine.clock.now() - self.request.arrived

    def _timer(self) -> None:
        now, ledger = self._engine.clock.now(), self._ledger
        while ledger.verdict is None and (due := self._alarms.due(now, all_of_now=True)) is not None:
            self._fire(due)

    def _catch_up(self, now: int) -> None:
        """Fire what was due before something that happens now: a late timer changes nothing."""
        ledger = self._ledger
        while ledger.verdict is None and (due := self._alarms.due(now, all_of_now=False)) is not None:
            self._fire(due)

    def _wake_at(self, run: BranchRun, at: int) -> None:
        """A layer of the branch wants `woken` to be called at `at`. The newest wish replaces."""
        run.wake_at = at
        self._alarms.add(Due(at, Rank.WAKE, run.index, None))
        self._alarms.arm()

    def _fire(self, due: Due) -> None:
        run = self._ledger.runs[due.branch]  # of the plan's own alarms: anyone
        if due.rank is Rank.WAKE:
            if due.at == run.wake_at and run.woken is not None:
                run.wake_at = -1
                run.woken()
            return
        at = due.at - self.request.arrived
        match due.kind:
            case None | AlarmKind.BRANCH_SOFT if self._ledger.ended[due.branch]:
                pass
            case None:
                self._time_out(run, at)
                self._nodes.tasks.cancel([due.branch], lasting=False)
            case AlarmKind.BRANCH_SOFT:
                self._ledger.log(at, Alarm(AlarmKind.BRANCH_SOFT, run.node.id))
            case kind if due.at != self._armed.get(kind, due.at):
                pass  # a newer one has replaced it
            case kind:
                self._ledger.log(at, Alarm(kind))

    def _time_out(self, run: BranchRun, at: int) -> None:
        """A branch's own time is over: it has failed, unless something stands in for its answer."""
        instead = None if run.stand_in is None else run.stand_in()
        if instead is None:
            self._end(run, at, *out_of_time(run))
            return
        run.outcome = instead
        self._end(run, at, *ending_of(instead))

    # ------------------------------------------------------------------ what comes back

    def _effect(self, effect: Effect) -> None:
        match effect:
            case Arm(kind, at):
                self._armed[kind] = due = self.request.arrived + at
                self._alarms.add(Due(due, Rank.SOFT, -1, kind))
                self._alarms.arm()
            case Update(read):
                if self._watch is not None:
                    self._watch.update(read)
            case Verdict():
                self._settle(effect)
            case Result():
                if self.verdict is not None and not self._ending.done():
                    self._ending.set_result(Ending(self.verdict, effect))

    def _settle(self, verdict: Verdict) -> None:
        """The request is complete: whatever had not ended by `applied_seq` ends now, and is cancelled if it still runs."""
        ledger = self._ledger
        if ledger.verdict is not None:
            return  # a replayed log says the same again
        ledger.verdict = verdict
        self._alarms.clear()
        for run in ledger.runs:
            ended = ledger.ended[run.index]
            if ended and ended <= verdict.applied_seq:
                continue
            outcome, ledger.ended[run.index] = run.outcome if ended else None, 0
            passed = self._soft_passed(run, verdict)
            run.ended_at = self.request.arrived + verdict.at
            started = 0 < ledger.started[run.index] <= verdict.applied_seq  # a later send is late, as a later ending is
            by, write = verdict.completed_by, run.node.writes
            run.state, run.reason = at_verdict(by, started=started, soft_passed=passed, write=write)
            if outcome is not None:
                self._late(run, outcome)
        self._nodes.settle()
        self.session.finish()

    def _soft_passed(self, run: BranchRun, verdict: Verdict) -> bool:
        """Whether the plan's soft timeout, or the branch's own, had passed when the rule was met.

        At that very instant only if time itself met the rule: endings come before softs.
        """
        now = self.request.arrived + verdict.at
        by_time = verdict.completed_by is CompletedBy.SOFT_TIMEOUT or now in self._armed.values()
        due = [] if self._soft is None else [self.request.arrived + self._soft]
        soft = soft_of(run.node, self.request, self.deadlines)
        first = run.started_at if run.parent is None else run.parent.started_at
        if soft is not None and first is not None:
            due.append(first + soft)
        return any(at < now or (by_time and at == now) for at in due)

    # ------------------------------------------------------------------ what is told of it

    @property
    def verdict(self) -> Verdict | None:
        """How it was completed."""
        return self._ledger.verdict

    @property
    def branches(self) -> list[BranchRun]:
        """The branches of the plan, in its order, without leaves."""
        return self._ledger.runs[: len(self.plan.nodes)]

    def leaves(self, branch: BranchRun) -> Sequence[BranchRun]:
        """The leaves of a branch that was called for each item of a list, in its order."""
        return self._nodes.leaves(branch)

    def coverage(self) -> Coverage:
        """How much of the plan has answered so far."""
        return cover(tallies(self.branches, self._nodes.expansions))

    @property
    def wrote(self) -> bool:
        """Whether a write may have reached a worker, so that repeating the request may repeat it."""
        return wrote(self._ledger.runs)

    def release(self) -> None:
        """Let go of what refers back to this, now that its account is written.

        What a request leaves behind then dies with it. Otherwise every request is one large cycle, and the garbage collector,
        which has to find it, costs a twentieth of all CPU. Branches that still run keep what their layers read.
        """
        for run in self._ledger.runs:
            run.sent, run.alarm = sent_to_nobody, wake_by_nobody
            if not self._nodes.tasks.running(run):
                run.attempts.clear()
                run.deciding = run.relay = None
        self._nodes.clear()


def out_of_time(run: BranchRun) -> tuple[BranchState, BranchReason]:
    """How a branch ends whose own time is over: it may still have waited for a place."""
    return (S.SKIPPED, R.NOT_STARTED_NO_TIME) if run.started_at is None else (S.TIMED_OUT, R.HARD_TIMEOUT)


def sent_to_nobody(run: BranchRun, now: int) -> None:
    """The request is over; a branch that leaves late is cancelled already."""


def wake_by_nobody(run: BranchRun, at: int) -> None:
    """The request is over; a write that goes on is not tried again."""
