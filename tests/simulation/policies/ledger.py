"""What the replicas saw, in order, and what must hold whenever an attempt arrives.

Written from what the replicas are told alone. Of the engine's books it reads one thing: whether an endpoint that was passed
over might have been called. It has the rules of the design once more, counted the slow way and from the other side of the wire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from dispatcher.flow.ports import Clock
from dispatcher.layers.types import Attempt
from dispatcher.model.plan import Plan, Worker
from dispatcher.policies.books import Books
from dispatcher.policies.breaker import State
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import SECOND
from fanmesh.testing import ms
from tests.simulation.policies.replicas import How, Replica, Served

HEDGE = AttemptKind.HEDGE
LEAST = ms(5)
SLACK = 1e-6


@dataclass
class Trace:
    """What one worker's replicas saw: when first attempts came, when further ones, and what runs."""

    firsts: list[int] = field(default_factory=list)
    extras: list[int] = field(default_factory=list)
    hedges: int = 0
    running: int = 0
    at: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    tokens: dict[str, tuple[float, int]] = field(default_factory=dict)


class Ledger:
    """Everything that was served, by branch and by address.

    `violations`: what should not have been. Who runs the world raises them: an exception out of here would be a failed branch.
    """

    def __init__(self, clock: Clock, plans: Mapping[str, Plan], books: Books) -> None:
        self.served: dict[tuple[str, str], list[Served]] = defaultdict(list)
        self.at: dict[str, list[Served]] = defaultdict(list)
        self.traces: dict[str, Trace] = defaultdict(Trace)
        self.violations: list[str] = []
        self.replicas: dict[str, list[Replica]] = {}
        self._clock = clock
        self._plans = plans
        self._books = books

    def begin(self, attempt: Attempt, replica: Replica) -> Served:
        """An attempt is here: it is written down, and held against the rules."""
        run, now = attempt.run, self._clock.now()
        worker = run.node.worker
        trace, before = self.traces[worker.name], self.served[run.request.id, run.node.id]
        served = Served(
            run.request.id, run.node.id, worker.name, replica.address, attempt.number, attempt.kind, now
        )  # fmt: skip
        self._time(attempt, before, now)
        self._branch(served, before, worker, trace)
        self._limits(served, worker, trace)
        before.append(served)
        self.at[served.endpoint].append(served)
        trace.running += 1
        trace.at[served.endpoint] += 1
        self._load(served, worker, trace)
        return served

    def end(self, served: Served) -> None:
        """It is over."""
        trace = self.traces[served.worker]
        trace.running -= 1
        trace.at[served.endpoint] -= 1

    def _must(self, holds: bool, rule: str, served: Served | None = None) -> None:  # noqa: FBT001  (reads like assert)
        if not holds:
            self.violations.append(f"{rule}, at {self._clock.now()}: {served}")

    def _time(self, attempt: Attempt, before: list[Served], now: int) -> None:
        """No attempt begins that has less than 5 ms, by the time of the request and of the branch."""
        request, node = attempt.run.request, attempt.run.node
        plan = self._plans[request.plan]
        total = min(t for t in (request.remaining, plan.latency, 10 * SECOND) if t is not None)
        latest = request.arrived + total - min(plan.merge_reserve, total // 4)
        if before and node.timeout is not None:
            latest = min(latest, before[0].began + node.timeout)
        self._must(now <= latest - LEAST, f"{attempt.number} began less than 5 ms before {latest}")

    def _branch(self, served: Served, before: list[Served], worker: Worker, trace: Trace) -> None:
        """What the other attempts of the branch mean for this one."""
        must, flying = self._must, [one for one in before if one.runs]
        must(len(before) < worker.policy.max_attempts, "more than max_attempts", served)
        must(not before or served.number > before[-1].number, "numbers rise", served)
        must((served.kind in {AttemptKind.FIRST, AttemptKind.PROBE}) == (served.number == 0), "the first is FIRST", served)
        must(not any(one.how is How.ANSWERED for one in before), "it had answered", served)
        if not worker.repeatable:
            must(all(one.how is How.UNSENT for one in before), "a write that was sent is sent again", served)
        if served.kind is HEDGE:
            must(worker.repeatable and worker.policy.hedge is not None, "hedged, and must not be", served)
            must(bool(flying), "hedged, and nothing flies", served)
            must(all(one.endpoint != served.endpoint for one in before), "hedged where it had been", served)
        elif before:
            must(any(not one.runs for one in before), "retried, and nothing has failed", served)
        if any(one.endpoint == served.endpoint for one in flying):
            must(not self._elsewhere(before, worker, trace), "twice at one endpoint, and another was free", served)
        self._pushback(served, before)

    def _pushback(self, served: Served, before: list[Served]) -> None:
        """Whoever was asked to wait waits, unless something else failed since; whoever was sent away does not come back."""
        asked = [
            (one.ended, one.fault.retry_after) for one in before if one.fault is not None and one.fault.retry_after is not None
        ]
        for ended, pause in asked:
            self._must(pause >= 0, "came back although it was sent away", served)
            if served.kind is not HEDGE and all(one.ended <= ended for one in before):
                self._must(served.began >= ended + ms(pause), f"came back before the {pause} ms were over", served)

    def _elsewhere(self, before: list[Served], worker: Worker, trace: Trace) -> list[str]:
        """Endpoints that have not been tried, are closed and have room."""
        tried, book, limit = {one.endpoint for one in before}, self._books.of(worker.name), worker.limit
        free = [replica.address for replica in self.replicas[worker.name] if replica.address not in tried]
        most, rate = limit.endpoint_in_flight, limit.rate
        return [
            address
            for address in free
            if book.endpoint(address).breaker.state is State.CLOSED
            and (most is None or trace.at[address] < most)
            and (rate is None or book.endpoint(address).rate.free(rate, self._clock.now()))
        ]

    def _limits(self, served: Served, worker: Worker, trace: Trace) -> None:
        """Places of the worker, places and calls per second of the endpoint: before this one is counted."""
        limit, must = worker.limit, self._must
        must(limit.in_flight is None or trace.running < limit.in_flight, "more calls than in_flight", served)
        most = limit.endpoint_in_flight
        must(most is None or trace.at[served.endpoint] < most, "more calls than endpoint_in_flight", served)
        if limit.rate is not None:
            left, since = trace.tokens.get(served.endpoint, (float(limit.rate.burst), served.began))
            left = min(left + (served.began - since) * limit.rate.per_second / SECOND, limit.rate.burst)
            must(left >= 1 - SLACK, "more calls per second than the rate", served)
            trace.tokens[served.endpoint] = (left - 1, served.began)

    def _load(self, served: Served, worker: Worker, trace: Trace) -> None:
        """What further attempts add to the load, in all and within ten seconds."""
        policy, now = worker.policy, served.began
        if served.number == 0:
            trace.firsts.append(now)
            return
        trace.extras.append(now)
        if served.kind is HEDGE and policy.hedge is not None:
            trace.hedges += 1
            allowed = policy.hedge.max_extra_load * len(trace.firsts)
            self._must(trace.hedges <= allowed + SLACK, f"{trace.hedges} hedges, {allowed} allowed", served)
        if policy.retry is not None:
            rule = policy.retry.budget
            extras = sum(now - 10 * SECOND < at for at in trace.extras)
            paid = rule.ratio * sum(now - 11 * SECOND < at for at in trace.firsts)
            allowed = paid + 10 * rule.min_per_second
            self._must(extras <= allowed + SLACK, f"{extras} further attempts within 10 s, {allowed} allowed", served)
