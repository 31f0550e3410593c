"""A branch of the simulation: what launches an attempt, who pays for it, who is told of its end.

A second implementation of what `dispatcher/layers` does, by hand over a timeline: no asyncio, no layers, no flow. Written from
the rules and not from the code; it shares the policies with the first one and nothing else, so a shell that forgets a refund,
or asks in the wrong order, gives another answer than this.
"""

from __future__ import annotations

from aggregator.engine.accumulate import Accumulator
from dispatcher.model.deadlines import MIN_ATTEMPT, divide
from dispatcher.model.endings import ending_of
from dispatcher.policies.attempts import Attempts, Denied, Finish, Launch, Wait, no_time
from dispatcher.policies.hedging import delay_of, still
from dispatcher.policies.overload import Stage
from dispatcher.policies.picking import Ask, Picked, pick
from dispatcher.policies.queue import Admission, Queued, Stand, Ticket
from dispatcher.policies.settling import settle
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.model.values import Value
from tests.conformance.casebook import fate, ns
from tests.conformance.drivers import VIRTUAL_TICK
from tests.conformance.policies.casebook import Asked
from tests.conformance.policies.checking import SeenAttempt, SeenRequest
from tests.conformance.policies.scripted import TIMED_OUT, told
from tests.conformance.policies.world import Flight, World

FIRST, RETRY, HEDGE, PROBE = AttemptKind.FIRST, AttemptKind.RETRY, AttemptKind.HEDGE, AttemptKind.PROBE
R, S = BranchReason, BranchState


class Branch:
    """The only branch of one request."""

    def __init__(self, world: World, asked: Asked) -> None:
        self.world = world
        self.asked = asked
        self.flights: dict[int, Flight] = {}
        self.places_taken: set[int] = set()
        self.notes: list[str] = []
        self.over: tuple[str, Outcome | None] | None = None
        self.won = -1
        self.holds_a_place = False
        self.parts = Accumulator()
        self.arrived = self.ended_at = self.deadline = 0
        self.own_timer = False
        self.ticket: Ticket | None = None
        self.known: tuple[AttemptKind, Denied | None] = FIRST, None
        self.plan: Attempts

    # ------------------------------------------------------------------ the door

    def arrive(self) -> None:
        """The request is here."""
        world, asked = self.world, self.asked
        self.arrived = world.now
        deadlines = divide(None, world.plan.latency, world.plan.merge_reserve, ns(asked.latency, VIRTUAL_TICK))
        self.deadline = self.arrived + deadlines.stop
        world.at(self.deadline, self.time_is_up)
        limit = world.worker.limit
        if limit.in_flight is None:
            self.begin()
            return
        entry = world.book.queue.enter(limit.in_flight, limit.queue, self.deadline, critical=asked.critical)
        match entry:
            case Admission.ENTERED:
                self.holds_a_place = True
                self.begin()
            case Admission.REFUSED:
                self.turned_away()
            case Queued(ticket, evicted):
                self.ticket = ticket
                ticket.payload = self.called_up
                if evicted is not None:
                    evicted.payload()

    def called_up(self) -> None:
        """Its turn has come, or somebody more important has its place in the queue."""
        assert self.ticket is not None
        if self.ticket.stand is Stand.GRANTED:
            self.holds_a_place = True
            self.begin()
        else:
            self.turned_away()

    def turned_away(self) -> None:
        """There is no room."""
        self.count("refused", "queue_full")
        self.notes.append("refused queue_full")
        self.finish(Fault(FaultKind.OVERLOADED, Code.RESOURCE_EXHAUSTED, "full", origin=Origin.LOCAL, sent=False))

    def begin(self) -> None:
        """The branch may run."""
        worker = self.world.worker
        if self.deadline - self.world.now < MIN_ATTEMPT:
            self.finish(no_time())
            return
        self.plan = Attempts(worker.policy, self.deadline, repeatable=worker.repeatable)
        self.step()

    # ------------------------------------------------------------------ deciding

    def step(self) -> None:
        """Do what is to be done now."""
        while self.over is None:
            match self.plan.decide(self.world.now):
                case Finish(outcome, number):
                    self.tell()
                    self.won = number
                    if isinstance(outcome, Success) and self.flights[number].kind is HEDGE:
                        self.count("hedge_won", "")
                    self.finish(outcome)
                case Launch(kind):
                    self.launch(kind)
                case Wait(until):
                    if until is not None:
                        self.world.at(until, self.step)
                    return

    def launch(self, kind: AttemptKind) -> None:
        """Pay, choose, leave."""
        world, now = self.world, self.world.now
        book, worker, policy, chance = world.book, world.worker, world.worker.policy, world.case.chance
        beside = bool(self.plan.flying)
        if kind is not FIRST and (denied := self.unpaid(kind, beside=beside)) is not None:
            self.plan.denied(kind, denied)
            self.tell()
            return
        number = self.plan.launched(kind, now)
        takes_a_place = beside and worker.limit.in_flight is not None
        tried = [(flight.place.address, False) for flight in self.flights.values()]
        ask = Ask(policy, worker.limit, tried, elsewhere=kind is HEDGE, until=self.deadline)
        picked = pick(book, world.places, ask, now, chance, chance)
        if isinstance(picked, Fault):
            what, why = ("hedge_denied", "no_other_endpoint") if kind is HEDGE else ("refused", picked.kind.value)
            self.count(what, why)
            self.notes.append(f"{what} {why}")
            if kind is not FIRST:
                self.refund(kind)
            if takes_a_place:
                self.give_back()
            self.plan.refused(number, kind, picked)
            self.known = self.plan.missed, self.plan.why
            return
        if takes_a_place:
            self.places_taken.add(number)
        self.leave(number, kind, picked, len(tried))

    def tell(self) -> None:
        """Why a further attempt was not made, once."""
        known, self.known = self.known, (self.plan.missed, self.plan.why)
        if self.plan.why is not None and known != self.known:
            self.count(f"{self.plan.missed.name.lower()}_denied", self.plan.why.value)
            self.notes.append(f"{self.plan.missed.name.lower()}_denied {self.plan.why.value}")

    def unpaid(self, kind: AttemptKind, *, beside: bool) -> Denied | None:
        """Why a further attempt may not be made; otherwise it has been paid for."""
        world = self.world
        book, worker, policy = world.book, world.worker, world.worker.policy
        if kind is HEDGE:
            if Stage[world.case.stage] >= Stage.NO_HEDGES:
                return Denied.OVERLOAD
            if (why := still(book.latencies, self.deadline - world.now, world.now)) is not None:
                return why
            if not book.hedges.withdraw():
                return Denied.EXTRA_LOAD
        if policy.retry is not None and not book.budget.withdraw(policy.retry.budget, world.now):
            if kind is HEDGE:
                book.hedges.refund()
            return Denied.BUDGET
        if beside and worker.limit.in_flight is not None and not book.queue.try_enter(worker.limit.in_flight):
            self.refund(kind)
            return Denied.LIMIT
        return None

    def refund(self, kind: AttemptKind) -> None:
        """What was paid for is not made."""
        if kind is HEDGE:
            self.world.book.hedges.refund()
        if self.world.worker.policy.retry is not None:
            self.world.book.budget.refund(self.world.now)

    # ------------------------------------------------------------------ flying

    def leave(self, number: int, kind: AttemptKind, picked: Picked, tried: int) -> None:
        """The call leaves."""
        world, now = self.world, self.world.now
        policy = world.worker.policy
        place = world.places[picked.at]
        elsewhere = len(world.places) > tried + 1
        if picked.permit.probe:
            kind = PROBE if kind is FIRST else kind
            self.notes.append("probe fail_open" if picked.forced else "probe due")
        if number == 0:
            self.first_leaves(elsewhere=elsewhere)
        else:
            last = self.plan.last
            why = "slow" if kind is HEDGE else last.outcome.code.name if last and isinstance(last.outcome, Fault) else ""
            self.count(kind.name.lower(), why)
            self.notes.append(f"{kind.name.lower()} {why}")
        per_try = policy.retry.per_try_timeout if policy.retry is not None else None
        deadline = self.deadline if per_try is None else min(self.deadline, now + per_try)
        flight = self.flights[number] = Flight(number, kind, place, picked, now, deadline)
        flight.elsewhere = elsewhere
        line = told(world.case.does(place.index, place.made), VIRTUAL_TICK)
        place.made += 1
        for at, part in line.parts:
            world.at(now + at, lambda part=part: self.part(flight, part))  # type: ignore[misc]  # mypy cannot infer defaults
        if (ending := line.last) is not None:
            world.at(now + line.at, lambda: self.land(flight, ending))
        if deadline < self.deadline:
            world.at(deadline, lambda: self.out_of_time(flight))

    def first_leaves(self, *, elsewhere: bool) -> None:
        """The branch's own time begins, its first attempt pays in, and it may be hedged."""
        world, now = self.world, self.world.now
        worker, policy, book = world.worker, world.worker.policy, world.book
        timeout = world.node.timeout
        if timeout is not None and now + timeout < self.deadline:
            self.deadline, self.own_timer = now + timeout, True
            world.at(self.deadline, self.time_is_up)
        self.plan.deadline = self.deadline
        if policy.retry is not None:
            book.budget.deposit(policy.retry.budget, now)
        if policy.hedge is None or not worker.repeatable:
            return
        book.hedges.deposit(policy.hedge.max_extra_load)
        if self.asked.inherited is not FIRST:
            after: int | Denied = Denied.INHERITED
        else:
            after = delay_of(policy.hedge, book.latencies, now) if elsewhere else Denied.NO_OTHER_ENDPOINT
        if isinstance(after, Denied):
            self.plan.denied(HEDGE, after)
            self.count("hedge_denied", after.value)
            self.known = self.plan.missed, self.plan.why
            if after is not Denied.NO_OTHER_ENDPOINT:
                self.notes.append(f"hedge_denied {after.value}")
        else:
            self.plan.hedge_in(after, now)

    def part(self, flight: Flight, part: Part) -> None:
        """A part of a stream: the first one of all wins the race."""
        if flight.ended_at is not None or not self.plan.part(flight.number, replace=part.replace):
            return
        self.parts.add(flight.number, part.seq, replace=part.replace, value=part.value)
        flight.parts += 1
        if flight.answered_at is None:
            flight.answered_at = self.world.now
            for other in self.flights.values():
                if other is not flight:
                    self.drop(other)

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """The call has ended by itself."""
        if flight.ended_at is not None:
            return
        if isinstance(outcome, Fault) and not outcome.sent:
            flight.place.up = False
        self.close(flight, outcome)
        if flight.number in self.places_taken:
            self.places_taken.discard(flight.number)
            self.give_back()
        self.plan.elsewhere = flight.elsewhere
        self.plan.ended(flight.number, outcome, self.world.now, self.world.case.chance, held=self.world.node.whole_only)
        self.tell()
        self.step()

    def out_of_time(self, flight: Flight) -> None:
        """The attempt's own time is over: its call is cancelled, and another may follow."""
        if flight.ended_at is None:
            flight.place.cancels += 1
            self.land(flight, TIMED_OUT)

    def drop(self, flight: Flight) -> None:
        """Nobody waits for it any more."""
        if flight.ended_at is None:
            flight.place.cancels += 1
            self.plan.flying.discard(flight.number)
            self.close(flight, None)

    def close(self, flight: Flight, outcome: Outcome | None) -> None:
        """The books learn of its end. None: we cancelled it."""
        world = self.world
        flight.ended_at, flight.outcome = world.now, outcome
        change = settle(
            world.book,
            flight.picked,
            world.worker.policy,
            outcome,
            sent_at=flight.sent_at,
            deadline=flight.deadline,
            answered_at=flight.answered_at,
            now=world.now,
            u=world.case.chance,
        )
        if change is not None:
            self.notes.append(f"breaker_{change.after.value} {change.why.value}")

    # ------------------------------------------------------------------ ending

    def time_is_up(self) -> None:
        """The branch's deadline, or the request's: what it met counts against the endpoint, if it had a fair time."""
        if self.over is not None or self.world.now < self.deadline:
            return
        notes = list(self.notes)
        for flight in self.flights.values():
            if flight.ended_at is None:
                flight.place.cancels += 1
                self.plan.flying.discard(flight.number)
                self.close(flight, TIMED_OUT)
        self.notes = notes  # what follows from the end of a branch is no part of its account
        if self.ticket is not None:
            self.world.book.queue.forget(self.ticket)
        if not self.flights:
            self.end(fate(S.SKIPPED.name, R.NOT_STARTED_NO_TIME.name), None)
        else:
            self.end(fate(S.TIMED_OUT.name, (R.HARD_TIMEOUT if self.own_timer else R.REQUEST_DEADLINE).name), None)

    def finish(self, outcome: Outcome) -> None:
        """The outcome is known."""
        state, reason = ending_of(outcome)
        self.end(fate(state.name, reason.name), outcome)

    def end(self, state: str, outcome: Outcome | None) -> None:
        """Cancel what still flies, and give the places back."""
        self.over, self.ended_at = (state, outcome), self.world.now
        for flight in self.flights.values():
            self.drop(flight)
        for _ in self.places_taken:
            self.give_back()
        if self.holds_a_place:
            self.give_back()

    def give_back(self) -> None:
        """A place of the worker is free: whoever waits may have it."""
        for ticket in self.world.book.queue.leave(self.world.worker.limit.in_flight):
            self.world.at(self.world.now, ticket.payload)

    def count(self, what: str, why: str) -> None:
        """As the books count it."""
        self.world.book.count(what, why)

    # ------------------------------------------------------------------ telling

    def seen(self) -> SeenRequest:
        """What the caller would be told."""
        assert self.over is not None, "the branch has not ended"
        state, outcome = self.over
        code = outcome.code if isinstance(outcome, Fault) and outcome.kind is not FaultKind.LOCAL_TIMEOUT else Code.OK
        return SeenRequest(
            state,
            code.name,
            self.value(outcome),
            self.ended_at - self.arrived,
            [self.told(f) for f in self.flights.values()],
            self.notes,
        )

    def value(self, outcome: Outcome | None) -> Value:
        """The answer."""
        if not isinstance(outcome, Success):
            return None
        return self.parts.value() if self.world.worker.streams else outcome.value

    def told(self, flight: Flight) -> SeenAttempt:
        """One attempt; one that ran out of its time is told as cancelled, as we did that."""
        assert flight.ended_at is not None
        outcome = flight.outcome
        if outcome is None or outcome is TIMED_OUT:
            word = "cancelled"
        elif isinstance(outcome, Fault):
            word = outcome.code.name
        else:
            word = "won" if flight.number == self.won else "OK"
        at, until = flight.sent_at - self.arrived, flight.ended_at - self.arrived
        return SeenAttempt(flight.number, flight.kind.name.lower(), flight.place.index, at, until, word)
