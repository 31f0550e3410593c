"""One request from its first branch to its verdict: the single owner, a synchronous reducer.

Endings, parts and alarms come in as calls, in the loop's order; each becomes an entry of the event log, the log is folded
(here or in the Aggregator), and effects come back. The owner never awaits: the RPC coroutine waits for one future, branches
run in one task each, and all alarms share one timer. So there is no lock, and no timeout that fires during a merge is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from dispatcher.flow.alarms import Alarms, Due, Rank
from dispatcher.flow.happenings import end_of, part_of, wrote
from dispatcher.flow.ports import AggregationSession, Engine, Watch
from dispatcher.flow.prepare import fate_of, must_answer, sheds, soft_of, start_event
from dispatcher.flow.rows import row_of
from dispatcher.flow.schedule import Step
from dispatcher.flow.sink import BranchSink, NoSink
from dispatcher.flow.staging import Staging
from dispatcher.layers.outcomes import outcome_of
from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.deadlines import MIN_ATTEMPT, Deadlines, branch_deadline
from dispatcher.model.endings import ending_of
from dispatcher.model.plan import Plan
from dispatcher.model.request import Request
from fanmesh.model.coverage import Coverage, Tally, cover
from fanmesh.model.endings import at_exclusion, at_verdict
from fanmesh.model.events import (
    Alarm,
    Arm,
    Change,
    Effect,
    Event,
    Happening,
    Result,
    Start,
    Update,
    Verdict,
)
from fanmesh.model.fault import Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, CompletedBy

S, R = BranchState, BranchReason


class Ending(NamedTuple):
    """What the run leaves behind."""

    verdict: Verdict
    result: Result


class Run:
    """The owner of one request. `runs` are its branches in plan order; `verdict` is None until it is complete."""

    __slots__ = (
        "_alarms",
        "_at",
        "_ended_seq",
        "_ending",
        "_engine",
        "_grace",
        "_loop",
        "_seq",
        "_sinks",
        "_soft",
        "_staging",
        "_started_seq",
        "_starting",
        "_stopped",
        "_tasks",
        "_turning",
        "_turns",
        "_watch",
        "deadlines",
        "plan",
        "request",
        "runs",
        "session",
        "verdict",
    )

    def __init__(self, engine: Engine, plan: Plan, request: Request, deadlines: Deadlines, watch: Watch | None = None) -> None:
        self.plan = plan
        self.request = request
        self.deadlines = deadlines
        self.verdict: Verdict | None = None
        stop = request.arrived + deadlines.stop
        sent, alarm = self._sent, self._wake_at
        self.runs = tuple(BranchRun(request, plan, node, i, stop, sent, alarm) for i, node in enumerate(plan.nodes))
        self.session: AggregationSession = engine.aggregate(self._effect, request.arrived + deadlines.total)
        self._engine = engine
        self._watch = watch
        self._seq = 0
        self._at = 0
        self._soft: int | None = None
        self._grace = -1
        self._started_seq = [0] * len(plan.nodes)
        self._ended_seq = [0] * len(plan.nodes)
        self._tasks: list[asyncio.Task[Outcome] | None] = [None] * len(plan.nodes)
        self._stopped: set[int] = set()
        self._sinks: dict[int, BranchSink] = {}
        self._staging = None if plan.graph is None else Staging(plan.graph, self.runs, self._sinks, engine)
        self._turns: deque[Step] = deque()
        self._turning = False
        self._starting: list[BranchRun] = []
        self._alarms = Alarms(engine.clock, self._timer)
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()

    # ------------------------------------------------------------------ the story

    async def ending(self) -> Ending:
        """Run the plan. Cancelling this coroutine is how the caller's going away arrives: everything is cancelled at once.

        Raises Malformed if an expression reads a malformed input; nothing has been sent then.
        """
        try:
            self._begin()
            return await self._ending
        except BaseException:
            self._abandon()
            raise

    def _begin(self) -> None:
        """Decide about every node that waits for no other, log the start, and send what is to run."""
        if self.plan.maps_output or self._staging is not None:
            _ = self.request.input.value  # it may be read later: if it is malformed, that is known before anything is sent
        fates = self._first_fates()  # all before the first send
        start = start_event(self.plan, self.request, self.deadlines)
        self._set_plan_alarms(start)
        self._log(0, start)
        at = self._now()
        self._turning = True
        for run, fate in fates:
            if self.verdict is not None:
                return
            self._meet(run, fate, at)
        self._take_turns()
        self._alarms.arm()

    def _first_fates(self) -> list[tuple[BranchRun, BranchReason]]:
        """Who runs, and who does not, as far as that is known before anything has ended."""
        if self._staging is None:
            shed = sheds(self.runs, self._engine)
            return [(run, fate_of(run, self._engine, shed=shed)) for run in self.runs]
        fates = [(self.runs[step.node], self._staging.fate(step)) for step in self._staging.first()]
        return [(run, fate) for run, fate in fates if fate is not None]

    def _meet(self, run: BranchRun, fate: BranchReason, at: int) -> None:
        """Put a node among those that start, or note why it does not; the latter may decide about those that read it."""
        if fate is R.NONE:
            self._starting.append(run)
            return
        run.state, run.reason = at_exclusion(fate, must=must_answer(run.node, self.request)), fate
        run.ended_at = self.request.arrived + at
        self._ended_seq[run.index] = self._seq + 1
        self._log(at, Change(run.node.id, ChangeKind.EXCLUDED, fate))
        self._go_on(run)

    def _go_on(self, run: BranchRun) -> None:
        """A node has ended: those that waited for it only are decided."""
        if self._staging is None or self.verdict is not None:
            return
        self._turns.extend(self._staging.ended(run.index))
        if not self._turning:
            self._take_turns()

    def _take_turns(self) -> None:
        """Decide whatever can be decided, then start what is to run: it has the time of those that turned out not to.

        In a loop, for one exclusion may bring on the next.
        """
        self._turning = True
        while self._turns and self.verdict is None and self._staging is not None:
            step = self._turns.popleft()
            if not self._ended_seq[step.node] and (fate := self._staging.fate(step)) is not None:
                self._meet(self.runs[step.node], fate, self._at)
        self._turning = False
        starting, self._starting = self._starting, []
        if self.verdict is None:
            for run in sorted(starting, key=_place):
                self._spawn(run)

    def _set_plan_alarms(self, start: Start) -> None:
        arrived, self._soft = self.request.arrived, start.completion.soft
        self._alarms.add(Due(arrived + start.stop, Rank.STOP, -1, AlarmKind.STOP))
        if self._soft is not None:
            self._alarms.add(Due(arrived + self._soft, Rank.SOFT, -1, AlarmKind.PLAN_SOFT))

    def _spawn(self, run: BranchRun) -> None:
        sink: BranchSink | NoSink = NO_SINK
        if run.node.worker.streams:
            sink = self._sinks[run.index] = BranchSink(run, self._engine.accumulator(), self._part, self._wanted)
        if self.plan.graph is not None and (tail := self.plan.graph.tail(run.index, self._ended_seq)):
            run.deadline -= tail  # those that wait for it need that much
            self._alarms.add(Due(run.deadline, Rank.ENDING, run.index, None))
        task = self._loop.create_task(self._engine.branch(run, sink))
        self._tasks[run.index] = task
        task.add_done_callback(partial(self._task_done, run))

    # ------------------------------------------------------------------ what happens

    def _sent(self, run: BranchRun, now: int) -> None:
        """A branch's first attempt leaves: its timers start."""
        self._catch_up(now)
        if self.verdict is not None:
            return
        run.started_at = now
        deadline = branch_deadline(now, run.node.timeout, run.deadline)
        if deadline < run.deadline:
            run.deadline, run.own_timer = deadline, True
            self._alarms.add(Due(deadline, Rank.ENDING, run.index, None))
        if (soft := soft_of(run.node, self.request, self.deadlines)) is not None:
            self._alarms.add(Due(now + soft, Rank.SOFT, run.index, AlarmKind.BRANCH_SOFT))
        self._started_seq[run.index] = self._seq + 1
        self._log(now - self.request.arrived, Change(run.node.id, ChangeKind.STARTED))
        self._alarms.arm()
        if self._watch is not None:
            self._show(self._watch, run, now)

    def _wanted(self, run: BranchRun) -> bool:
        """Whether anybody waits for the branch's parts. Asked for each: a local stream may leave the timer no turn."""
        self._catch_up(self._engine.clock.now())
        return self.verdict is None and not self._ended_seq[run.index]

    def _part(self, run: BranchRun, attempt: Attempt, part: Part) -> asyncio.Future[None] | None:
        """A part that fits, from a branch that is wanted."""
        now = self._engine.clock.now()
        return self._log(now - self.request.arrived, part_of(run, attempt, part))

    def _task_done(self, run: BranchRun, task: asyncio.Task[Outcome]) -> None:
        """A branch's task has ended, by itself or because it was cancelled here."""
        outcome = outcome_of(task)
        if self._ended_seq[run.index]:
            return  # ended by its alarm, and cancelled then
        if self.verdict is not None:
            self._late(run, outcome)
            return
        now = self._engine.clock.now()
        self._catch_up(now)
        if self._ended_seq[run.index] or self.verdict is not None:
            return  # its timeout, or the verdict, was due before
        if isinstance(outcome, Fault) and outcome.kind is FaultKind.LOCAL_TIMEOUT and run.deadline - now < MIN_ATTEMPT:
            return  # the transport's clock runs ahead of ours: the alarm, due within milliseconds, ends the branch
        sink = self._sinks.get(run.index)
        run.outcome = outcome
        self._end(run, now - self.request.arrived, *ending_of(outcome), streamed=sink is not None and sink.keeps(outcome))
        self._alarms.arm()

    def _late(self, run: BranchRun, outcome: Outcome) -> None:
        """It answered although nobody waits any more: counted, never merged."""
        if isinstance(outcome, Success):
            self._engine.observer.late(run)
            if run.reason is R.COMPLETION_MET:
                run.reason = R.LATE

    def _end(self, run: BranchRun, at: int, state: BranchState, reason: BranchReason, *, streamed: bool = False) -> None:
        """Log a branch's ending. `streamed`: the parts in the log are its answer."""
        run.state, run.reason, run.ended_at = state, reason, self.request.arrived + at
        self._ended_seq[run.index] = self._seq + 1
        self._log(at, end_of(run, streamed=streamed))
        if self._watch is not None:
            self._show(self._watch, run, self.request.arrived + at)
        self._go_on(run)

    def _show(self, watch: Watch, run: BranchRun, now: int) -> None:
        watch.branch(row_of(run, now, merged=False), self.coverage)

    def coverage(self) -> Coverage:
        """How much of the plan has answered so far."""
        return cover(Tally(r.state, r.reason, r.node.weight, r.started_at is not None) for r in self.runs)

    # ------------------------------------------------------------------ time

    def _now(self) -> int:
        return self._engine.clock.now() - self.request.arrived

    def _timer(self) -> None:
        now = self._engine.clock.now()
        while self.verdict is None and (due := self._alarms.due(now, all_of_now=True)) is not None:
            self._fire(due)

    def _catch_up(self, now: int) -> None:
        """Fire what was due before something that happens now: a late timer changes nothing."""
        while self.verdict is None and (due := self._alarms.due(now, all_of_now=False)) is not None:
            self._fire(due)

    def _wake_at(self, run: BranchRun, at: int) -> None:
        """A layer of the branch wants `woken` to be called at `at`. The newest wish replaces."""
        run.wake_at = at
        self._alarms.add(Due(at, Rank.WAKE, run.index, None))
        self._alarms.arm()

    def _fire(self, due: Due) -> None:
        if due.rank is Rank.WAKE:
            run = self.runs[due.branch]
            if due.at == run.wake_at and run.woken is not None:
                run.wake_at = -1
                run.woken()
            return
        at = due.at - self.request.arrived
        match due.kind:
            case None | AlarmKind.BRANCH_SOFT if self._ended_seq[due.branch]:
                pass
            case None:
                self._end(self.runs[due.branch], at, *out_of_time(self.runs[due.branch]))
                self._cancel([due.branch], lasting=False)
            case AlarmKind.BRANCH_SOFT:
                self._log(at, Alarm(AlarmKind.BRANCH_SOFT, self.runs[due.branch].node.id))
            case AlarmKind.GRACE if due.at != self._grace:
                pass  # a newer one has replaced it
            case kind:
                self._log(at, Alarm(kind))

    # ------------------------------------------------------------------ the log, and what comes back

    def _log(self, at: int, what: Happening) -> asyncio.Future[None] | None:
        self._seq += 1
        self._at = max(self._at, at)
        return self.session.feed(Event(self._seq, self._at, what))

    def _effect(self, effect: Effect) -> None:
        match effect:
            case Arm(kind, at):
                self._grace = self.request.arrived + at
                self._alarms.add(Due(self._grace, Rank.SOFT, -1, kind))
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
        if self.verdict is not None:
            return  # a replayed log says the same again
        self.verdict = verdict
        self._alarms.clear()
        for run in self.runs:
            ended = self._ended_seq[run.index]
            if ended and ended <= verdict.applied_seq:
                continue
            outcome, self._ended_seq[run.index] = run.outcome if ended else None, 0
            passed = self._soft_passed(run, verdict)
            run.ended_at = self.request.arrived + verdict.at
            started = 0 < self._started_seq[run.index] <= verdict.applied_seq  # a later send is late, as a later ending is
            by, write = verdict.completed_by, run.node.writes
            run.state, run.reason = at_verdict(by, started=started, soft_passed=passed, write=write)
            if outcome is not None:
                self._late(run, outcome)
        self._cancel(range(len(self.runs)), lasting=True)
        self.session.finish()

    def _soft_passed(self, run: BranchRun, verdict: Verdict) -> bool:
        """Whether the plan's soft timeout, or the branch's own, had passed when the rule was met.

        At that very instant only if time itself met the rule: endings come before softs.
        """
        now = self.request.arrived + verdict.at
        by_time = verdict.completed_by is CompletedBy.SOFT_TIMEOUT or now == self._grace
        due = [] if self._soft is None else [self.request.arrived + self._soft]
        soft = soft_of(run.node, self.request, self.deadlines)
        if soft is not None and run.started_at is not None:
            due.append(run.started_at + soft)
        return any(at < now or (by_time and at == now) for at in due)

    def _cancel(self, branches: range | list[int], *, lasting: bool) -> None:
        """Cancel these branches where they still run. Nobody waits for them: the reaper owns them until they have ended.

        Once each: a second cancellation would cut the clean-up that the first one began. `lasting`: writes that are at a worker
        are left to end by themselves, at most until their own hard timeout.
        """
        cancelled = []
        for i in branches:
            task, run = self._tasks[i], self.runs[i]
            if task is None or task.done() or i in self._stopped:
                continue
            self._stopped.add(i)
            sent = run.started_at is not None and any(attempt.ended_at is None for attempt in run.attempts)
            if lasting and run.node.writes and sent:
                self._engine.reaper.detach(task, self._engine.clock, run.deadline)
            else:
                if not run.interrupted:
                    task.cancel()
                cancelled.append(task)
        if cancelled:
            self._engine.reaper.adopt(cancelled)

    @property
    def wrote(self) -> bool:
        """Whether a write may have reached a worker, so that repeating the request may repeat it."""
        return wrote(self.runs)

    def release(self) -> None:
        """Let go of what refers back to this, now that its account is written.

        What a request leaves behind then dies with it. Otherwise every request is one large cycle, and the garbage collector,
        which has to find it, costs a twentieth of all CPU. Branches that still run keep what their layers read.
        """
        for run, task in zip(self.runs, self._tasks, strict=True):
            run.sent, run.alarm = sent_to_nobody, wake_by_nobody
            if task is None or task.done():
                run.attempts.clear()
                run.deciding = None
        self._tasks.clear()
        self._sinks.clear()

    def _abandon(self) -> None:
        """The caller has gone, or the owner has failed: nothing more is spent."""
        self._settle(Verdict(CompletedBy.CALLER_GONE, self._seq, self._now(), accepted=False))
        self.session.close()


NO_SINK = NoSink()

_place = attrgetter("index")


def out_of_time(run: BranchRun) -> tuple[BranchState, BranchReason]:
    """How a branch ends whose own time is over: it may still have waited for a place."""
    return (S.SKIPPED, R.NOT_STARTED_NO_TIME) if run.started_at is None else (S.TIMED_OUT, R.HARD_TIMEOUT)


def sent_to_nobody(run: BranchRun, now: int) -> None:
    """The request is over; a branch that leaves late is cancelled already."""


def wake_by_nobody(run: BranchRun, at: int) -> None:
    """The request is over; a write that goes on is not tried again."""
