"""Layer 1½: give an answer that is kept, wait for an equal call that flies already, or make the call and keep what it brings.

Above the queue, because whoever is given an answer needs no place, no attempt and no endpoint. Below observe, so that the
branch counts once however it was answered. What is equal, fresh, shared or good enough is decided in `policies/cache` and
`policies/coalescing`; here is the waiting.

The call is made in the leader's own task and not in one that the cache owns: its attempts, hedges, timers and report are then
those of any branch, nothing outlives the request that began it, and a lost leader costs one call more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from dispatcher.layers.shape import fitted
from dispatcher.layers.types import BranchCall, BranchLayer, BranchRun, Now, Sink
from dispatcher.model.caching import CacheRule, Kept
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.policies.books import Books
from dispatcher.policies.cache import Found, disproves, may_stand_in, whole
from dispatcher.policies.caches import Cache
from dispatcher.policies.coalescing import Flight, Stand, Waiter, shared
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.times import SECOND
from fanmesh.model.values import Opaque, Value

Brought: TypeAlias = Kept | Fault | None
"""What a call has brought for all who wait for it; None: nothing, and the next of them makes one."""


class Answers(NamedTuple):
    """How answers are told apart and written down; what a worker is told is known in `wire`.

    `key`: a digest of everything that may change the answer to this branch; None = it cannot be told. `pack` and `unpack` an
    answer: each unpacking shares nothing with another.
    """

    key: Callable[[BranchRun, CacheRule], bytes | None]
    pack: Callable[[Value], bytes | Opaque]
    unpack: Callable[[bytes | Opaque], Value]


def cache(books: Books, answers: Answers, *, now: Now) -> BranchLayer:
    """Answer a branch that has a cache from it, if it can be."""

    def layer(call: BranchCall) -> BranchCall:
        def cached(run: BranchRun, sink: Sink) -> Coroutine[Any, Any, Outcome]:
            rule = run.node.cache
            return call(run, sink) if rule is None else asks(run, sink, rule)

        async def asks(run: BranchRun, sink: Sink, rule: CacheRule) -> Outcome:
            kept, key = books.caches.of(run.plan.name, run.node), answers.key(run, rule)
            if kept is None or key is None:
                run.note("cache_bypassed", "reloaded" if kept is None else "key", now())
                if kept is not None:
                    kept.count("bypassed")
                return await call(run, sink)
            asking = Asking(run, rule, kept, key, answers, now)
            if (found := kept.store.fresh(key, now())) is not None:
                kept.count("hit")
                return asking.hit(found)
            try:
                return await asking.answer(call, sink)
            finally:
                run.stand_in = None  # it refers back to the branch
                kept.count(asking.result)

        return cached

    return layer


class Asking:
    """One branch that found nothing fresh. `result`: what comes of it, as it is counted."""

    __slots__ = ("_answers", "_cache", "_key", "_now", "_rule", "_run", "result")

    def __init__(self, run: BranchRun, rule: CacheRule, kept: Cache, key: bytes, answers: Answers, now: Now) -> None:
        self._run = run
        self._rule = rule
        self._cache = kept
        self._key = key
        self._answers = answers
        self._now = now
        self.result = "miss"

    def hit(self, found: Found) -> Outcome:
        """A fresh answer, as it is given again."""
        self.result = "hit"
        self._run.note("cache_hit", aged(found.age), self._now())
        return self._given(found.kept)

    async def answer(self, call: BranchCall, sink: Sink) -> Outcome:
        """Wait for a call, or make it; if it fails, an older answer may stand in."""
        run = self._run
        if self._rule.stale:
            run.stand_in = self._timed_out
        if not self._rule.coalesce:
            return self._or_older(await self._lead(None, call, sink))
        flights, request = self._cache.flights, run.request
        # Who may be shed does not lead who may not; and a copy that is made because a call is slow does not wait for that call.
        lane = (self._key, request.critical, request.inherited)
        place = flights.join(lane, run.deadline, sent=_sent(flights.of(lane)))
        if isinstance(place, Waiter):
            brought = await self._follow(place)
            if brought is not None:
                return self._or_older(self._given(brought) if isinstance(brought, Kept) else brought)
            place = place.flight
        return self._or_older(await self._lead(place, call, sink))

    # ------------------------------------------------------------------ one call for all

    async def _lead(self, flight: Flight | None, call: BranchCall, sink: Sink) -> Outcome:
        """Make the call, keep what it brings, and tell those who wait: also if it is cancelled, or a defect ends it."""
        brought: Brought = None
        if flight is not None:
            flight.payload = self._run
        try:
            outcome = await call(self._run, sink)
        except Exception as bug:  # flow makes the same of it for this branch
            brought = Fault(FaultKind.WORKER_ERROR, Code.INTERNAL, type(bug).__name__, origin=Origin.LOCAL)
            raise
        else:
            brought = self._brought(outcome, flight)
            return outcome
        finally:
            if flight is not None:
                self._land(flight, brought)

    def _brought(self, outcome: Outcome, flight: Flight | None) -> Brought:
        """What this outcome is to others. Kept is the worker's own answer, and only if it was good for this branch, too."""
        run, store, rule = self._run, self._cache.store, self._rule
        last = run.deciding or (run.attempts[-1] if run.attempts else None)
        answer = outcome if last is None or last.answer is None else last.answer
        if isinstance(outcome, Success) and outcome.instead is not None:
            return None  # it stands in for an answer: for this branch alone
        if isinstance(answer, Fault):
            if disproves(answer):
                store.drop(self._key)
            return answer if run.ended_at is None and shared(answer) else None
        keeps = rule.ttl + rule.stale > 0 and isinstance(outcome, Success)
        if answer.instead is not None or not (keeps or (flight is not None and flight.waiting)):
            return None
        kept = Kept(self._answers.pack(answer.value), answer.confidence, answer.labels)
        if keeps and whole(kept):
            store.store(self._key, kept, self._now())
        return kept

    def _land(self, flight: Flight, brought: Brought) -> None:
        """The call is over: what it brought is for all, or the next one makes it."""
        flights = self._cache.flights
        if brought is not None:
            for waiter in flights.landed(flight):
                waiter.payload(brought)
        elif (heir := flights.hand_over(flight)) is not None:
            heir.payload(None)

    async def _follow(self, waiter: Waiter) -> Brought:
        """Wait for what the call of another branch brings; None: this branch has to make it now.

        The branch's timers start here, as if the call were its own: it has a timeout for those who wait for it, and not for the
        worker. Its cancellation is its own, too.
        """
        turn = asyncio.get_running_loop().create_future()
        waiter.payload = partial(_wake, turn)
        self.result = "joined"
        try:
            self._start()
            brought: Brought = await turn
        except BaseException:
            self._cache.flights.forget(waiter)
            if waiter.stand is Stand.LEADS:  # in the same step as it was cancelled: the next one does
                self._land(waiter.flight, None)
            raise
        if brought is None:
            self.result = "miss"
            self._run.note("cache_takes_over", "leader_lost", self._now())
        return brought

    def _start(self) -> None:
        """The wait begins, and with it the branch's timers. Raises CancelledError if a late one of the request's ends it."""
        run, at = self._run, self._now()
        run.note("cache_joined", "in_flight", at)
        run.sent(run, at)
        if run.ended_at is not None:
            raise asyncio.CancelledError

    # ------------------------------------------------------------------ what is given

    def _given(self, kept: Kept) -> Outcome:
        """An answer as this branch gives it to the plan: its own copy, with its own `output`, and nothing was used up."""
        labels = None if kept.labels is None else dict(kept.labels)
        return fitted(Success(self._answers.unpack(kept.body), kept.confidence, labels=labels), self._run)

    def _or_older(self, outcome: Outcome) -> Outcome:
        """The outcome, or an older answer in the place of a failure.

        Not of one by the branch's own end: whether the transport's timer or flow's alarm is first is chance, so the alarm
        decides, and asks by itself.
        """
        if isinstance(outcome, Success) or not self._rule.stale or self._run.ended_at is not None:
            return outcome
        if outcome.kind is FaultKind.LOCAL_TIMEOUT and self._run.deadline - self._now() < MIN_ATTEMPT:
            return outcome
        return self._older(outcome) or outcome

    def _timed_out(self) -> Outcome | None:
        """Flow asks: the branch's hard timeout has come."""
        return self._older(TIMED_OUT)

    def _older(self, fault: Fault) -> Success | None:
        """The answer that stands in for a call that has failed so. A fresh one, which others have had meanwhile, is a hit."""
        at = self._now()
        found = self._cache.store.stand_in(self._key, at) if may_stand_in(fault) else None
        answer = None if found is None else self._given(found.kept)
        if found is None or not isinstance(answer, Success):
            return None
        if found.age < self._rule.ttl:
            self.result = "hit"
            self._run.note("cache_hit", aged(found.age), at)
            return answer
        self.result = "stale"
        self._run.note("cache_stale", f"{fault.code.name}, {aged(found.age)}", at)
        return answer._replace(instead=fault)


TIMED_OUT: Final = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, "no answer in time", origin=Origin.LOCAL)
"""A branch's hard timeout, as a fault."""


def _sent(flight: Flight | None) -> bool:
    """Whether the call has left: its leader may still wait for a place."""
    return flight is not None and flight.payload is not None and bool(flight.payload.attempts)


def _wake(turn: asyncio.Future[Brought], brought: Brought) -> None:
    if not turn.done():  # or its branch was cancelled in this step
        turn.set_result(brought)


def aged(ns: int) -> str:
    """`age 1.2s`."""
    return f"age {ns / SECOND:.1f}s"
