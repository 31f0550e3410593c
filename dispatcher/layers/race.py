"""The shell around the attempts of a branch, once there is something to decide: it does what `policies/attempts` says.

While only one attempt flies it runs in the branch's own task; attempts beside it have tasks of their own. When one of those
wins, the branch's task is interrupted in its call and goes on with the result: a task for each attempt would cost every branch
that may be hedged, and one in twenty is. Everything that was started is cancelled and awaited before the branch ends.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dispatcher.layers.flight import Track, leave, one
from dispatcher.layers.outcomes import outcome_of
from dispatcher.layers.purse import Purse
from dispatcher.layers.sides import Sides
from dispatcher.layers.types import Attempt, BranchRun, Gate, Sink
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.policies.attempts import Attempts, Denied, Finish, Launch, Wait
from dispatcher.policies.books import WorkerBook
from fanmesh.model.fault import Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part
from fanmesh.model.states import AttemptKind

FIRST, RETRY, HEDGE = AttemptKind.FIRST, AttemptKind.RETRY, AttemptKind.HEDGE


class Race:
    """One branch. `task` is the branch's own."""

    __slots__ = (
        "_book",
        "_inlined",
        "_interrupted",
        "_made",
        "_over",
        "_plan",
        "_purse",
        "_run",
        "_sides",
        "_sink",
        "_task",
        "_told",
        "_track",
        "_waiter",
    )

    def __init__(self, track: Track, run: BranchRun, sink: Sink, task: asyncio.Task[Outcome] | None) -> None:
        worker = run.node.worker
        self._track = track
        self._run = run
        self._sink = sink
        self._book: WorkerBook = track.books.of(worker.name)
        self._plan = Attempts(worker.policy, run.deadline, repeatable=worker.repeatable, least=run.node.least, base=run.base)
        self._made: dict[int, Attempt] = {}
        self._sides = Sides()
        self._purse = Purse(worker, self._book)
        self._task = task
        self._waiter: asyncio.Future[None] | None = None
        self._inlined: Attempt | None = None  # the one that flies in the branch's task
        self._interrupted = self._over = False
        self._told: tuple[AttemptKind, Denied | None] = FIRST, None  # why a further attempt was not made, as far as it was said

    def join(self, attempt: Attempt) -> None:
        """Begin while a first attempt flies in the branch's task, and is slow. `land` takes over when it has ended."""
        self._first(attempt)
        self._inlined = attempt
        self._run.woken = self._advance
        self._advance()

    async def land(self, attempt: Attempt, outcome: Outcome | None) -> Outcome:
        """Go on after the first attempt, which has ended; None: it was cancelled, by us or with the whole branch."""
        if self._inlined is None:  # it failed before it was slow
            self._first(attempt)
        try:
            self._landed(attempt, outcome)
        except asyncio.CancelledError:
            await self._close()
            raise
        return await self.run()

    def _first(self, attempt: Attempt) -> None:
        """Take on an attempt that has been launched already."""
        self._made[self._plan.launched(FIRST, attempt.sent_at)] = attempt
        self._plan.deadline = self._run.until
        if attempt.hedge_after is not None:
            self._plan.hedge_in(attempt.hedge_after, attempt.sent_at)

    async def run(self) -> Outcome:
        """Race until the branch's outcome is known."""
        plan, run = self._plan, self._run
        run.woken = self._advance
        try:
            while True:
                decision = plan.decide(self._track.now())
                if run.ended_at is not None:  # flow has ended it, and nobody waits: nothing more is spent
                    decision = plan.won or plan.last or decision
                match decision:
                    case Finish(outcome, number):
                        self._finish(number)
                        return outcome
                    case Launch(kind):
                        if (attempt := self._launch(kind)) is not None:
                            await self._inline(attempt)
                    case Wait(until):
                        await self._wait(until)
        finally:
            await self._close()

    # ------------------------------------------------------------------ launching

    def _launch(self, kind: AttemptKind) -> Attempt | None:
        """Launch an attempt: the only one that flies is returned, to run in the branch's task; others get their own."""
        plan, run, now = self._plan, self._run, self._track.now()
        beside = bool(plan.flying)
        why = None
        if kind is not FIRST:
            left, stage = plan.deadline - now, self._track.stage()
            why = self._purse.pay(kind, now, remaining=left, out=self._out(), stage=stage)
        if why is not None:
            plan.denied(kind, why)
            self._tell(now)
            return None
        number = plan.launched(kind, now)
        attempt = self._made[number] = Attempt(run, number, kind, now, self._leave)
        if not beside:
            return attempt
        self._sides.start(attempt, self._one(attempt), self._side_done)
        return None

    def _tell(self, now: int) -> None:
        """Say why a further attempt was not made, once; not at the branch's own end, where flow's alarm may have been first."""
        plan = self._plan
        if (why := plan.why) is not None and self._told != (plan.missed, why) and not self._timed_out(now):
            self._told, what = (plan.missed, why), f"{plan.missed.name.lower()}_denied"
            self._book.count(what, why.value)
            self._run.note(what, why.value, now)

    def _timed_out(self, now: int) -> bool:
        """Whether the last attempt has had all the time of the branch, by the transport's clock."""
        last = self._plan.last
        fault = last.outcome if last is not None else None
        late = isinstance(fault, Fault) and fault.kind is FaultKind.LOCAL_TIMEOUT
        return late and self._plan.deadline - now < MIN_ATTEMPT

    def _out(self) -> int:
        """How many calls are out, those that have lost included."""
        return len(self._sides) + (self._inlined is not None)

    def _reason(self, kind: AttemptKind) -> str:
        """Why a further attempt is made, in a word."""
        if kind is HEDGE:
            return "slow"
        last = self._plan.last
        return last.outcome.code.name if last is not None and isinstance(last.outcome, Fault) else ""

    def _leave(self, attempt: Attempt, now: int) -> None:
        """An endpoint has been picked: the call is about to leave."""
        run, plan = self._run, self._plan
        leave(attempt, now, self._track)
        if attempt.number == run.base:
            plan.deadline = run.until
            if attempt.hedge_after is not None:
                plan.hedge_in(attempt.hedge_after, now)
        else:
            what, why = attempt.kind.name.lower(), self._reason(attempt.kind)
            run.note(what, why, now, attempt.endpoint.address)
            self._book.count(what, why)
        if plan.hedge_due is not None:
            run.alarm(run, plan.hedge_due)

    # ------------------------------------------------------------------ flying

    async def _one(self, attempt: Attempt) -> Outcome:
        """One attempt, and its account."""
        return await one(attempt, _Gate(self) if self._run.node.worker.streams else self._sink, self._track)

    async def _inline(self, attempt: Attempt) -> None:
        """Fly in the branch's task, until it has ended or another has won."""
        outcome: Outcome | None = None
        self._inlined = attempt
        with suppress(asyncio.CancelledError):  # by us, or with the whole branch: `_landed` tells
            outcome = await self._one(attempt)
        self._landed(attempt, outcome)

    def _landed(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """What flew in the branch's task has ended. Raises CancelledError if it is the branch that was cancelled."""
        interrupted, self._interrupted, self._inlined = self._interrupted, False, None
        cancelled = self._task is not None and interrupted and self._task.uncancel() > 0
        self._purse.returned(self._out())
        self._unsent(attempt)
        if outcome is not None:
            self._ended(attempt, outcome)
        elif cancelled or not interrupted:
            raise asyncio.CancelledError

    def _interrupt(self, attempt: Attempt) -> None:
        """Cancel the attempt in the branch's task, and not the branch."""
        if self._task is not None and not attempt.stopped:  # else it ends already, or its own time is over
            self._interrupted = attempt.stopped = True
            self._task.cancel()

    def _ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt is over, or was refused an endpoint."""
        plan, track = self._plan, self._track
        now = track.now()
        if attempt.endpoint is None and isinstance(outcome, Fault):
            plan.refused(attempt.number, attempt.kind, outcome)
            self._told = plan.missed, plan.why  # by pick
            return
        plan.elsewhere = attempt.elsewhere
        plan.ended(attempt.number, outcome, now, track.uniform(), held=self._run.node.whole_only)
        self._tell(now)

    def _unsent(self, attempt: Attempt) -> None:
        """Give back what it has paid, if it has not left: it was refused an endpoint, or cancelled before its first step."""
        if attempt.endpoint is None and attempt.number != self._run.base:
            self._purse.refund(attempt.kind, self._track.now())

    def _side_done(self, attempt: Attempt, task: asyncio.Task[Outcome]) -> None:
        self._purse.returned(self._out())
        outcome = outcome_of(task)
        self._unsent(attempt)
        if not self._over:
            self._ended(attempt, outcome)
            self._advance()

    def _advance(self) -> None:
        """Something has happened while the branch's task waits, or flies: let it decide, or decide for it."""
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            return
        while self._inlined is not None and not self._interrupted and self._run.ended_at is None:
            match self._plan.decide(self._track.now()):
                case Launch(kind):
                    self._launch(kind)
                case Wait() as wait:
                    self._alarm(wait)
                    return
                case Finish():
                    self._interrupt(self._inlined)
                    return

    def take(self, part: Part, attempt: Attempt) -> Gate | asyncio.Future[None] | Fault:
        """A part of `attempt` is here. The first good one wins the race: the others are cancelled, whatever comes of it."""
        if attempt.number not in self._plan.flying:
            return Gate.STOP
        taken = self._sink.part(part, attempt)
        if taken is Gate.STOP or isinstance(taken, Fault):
            return taken
        self._plan.part(attempt.number, replace=part.replace)
        if attempt.answered_at is None:
            attempt.answered_at = self._track.now()
            self._sides.stop(but=attempt)
            if self._inlined is not None and self._inlined is not attempt:
                self._interrupt(self._inlined)
        return taken

    # ------------------------------------------------------------------ waiting and ending

    def _alarm(self, decision: object) -> None:
        if isinstance(decision, Wait) and decision.until is not None:
            self._run.alarm(self._run, decision.until)

    async def _wait(self, until: int | None) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._alarm(Wait(until))
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _finish(self, number: int) -> None:
        self._tell(self._track.now())
        attempt = self._run.deciding = self._made.get(number)
        if attempt is not None and attempt.kind is HEDGE and not isinstance(attempt.outcome, Fault):
            self._book.count("hedge_won", "")

    async def _close(self) -> None:
        """Cancel what still flies, and see it to its end, even if the branch is cancelled meanwhile: it has no other owner."""
        self._over = True
        self._run.woken = None
        try:
            await self._sides.close()
        finally:
            self._made.clear()  # they refer back to this


class _Gate:
    """The sink of one attempt of a stream: the first part of any attempt decides the race."""

    __slots__ = ("_race",)

    def __init__(self, race: Race) -> None:
        self._race = race

    def part(self, part: Part, attempt: Attempt) -> Gate | asyncio.Future[None] | Fault:
        """Take a part, unless another attempt has been committed."""
        return self._race.take(part, attempt)

    def completed(self, outcome: Outcome) -> Outcome:
        """The outcome of a stream that has ended."""
        return self._race._sink.completed(outcome)  # noqa: SLF001
