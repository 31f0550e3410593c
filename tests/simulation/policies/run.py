"""Run a world on virtual time and hold its invariants against what happened.

`python -m tests.simulation.policies.run SEED [SIZE]` replays one.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Reply
from dispatcher.model.request import Refusal, Request
from fanmesh.model.report import Report
from fanmesh.model.states import AttemptKind, BranchReason, CompletedBy
from fanmesh.payload import Box
from fanmesh.testing import Lab, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.plans import Seen, caught, watched
from tests.simulation.policies.ledger import Ledger
from tests.simulation.policies.oracle import check_calm, check_end, check_recovered, check_request
from tests.simulation.policies.replicas import Replica
from tests.simulation.policies.world import Caller, World, make


@dataclass
class Tale:
    """What happened in a world, in numbers: to see that things happen at all."""

    kinds: Counter[AttemptKind] = field(default_factory=Counter)
    reasons: Counter[BranchReason] = field(default_factory=Counter)
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[CompletedBy] = field(default_factory=Counter)
    requests: int = 0


def simulate(seed: int, size: float = 1.0) -> Tale:
    """Run the world of a seed and check it. AssertionError with how to replay it."""
    try:
        return run_virtual(_live(make(seed, size)))
    except BaseException as error:
        error.add_note(f"replay with: python -m tests.simulation.policies.run {seed} {size}")
        raise


class _Running:
    """A world that runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lab = Lab(world.config, seed=world.seed)
        self.plans = self.lab.config.catalogue.plans
        self.ledger = Ledger(self.lab.clock, self.plans, self.lab.books)
        self.seen: Seen = watched(self.lab)
        self.tale = Tale()
        self.ended: dict[str, tuple[Report | None, Refusal | None, int]] = {}
        self.replies: Counter[str] = Counter()
        self.running: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        for name, lives in world.lives.items():
            streams = self.lab.config.catalogue.workers[name].streams
            replicas = [
                Replica(f"{name}-{i}", life, self.lab.clock, self.ledger, streams=streams, strict=not world.calm)
                for i, life in enumerate(lives)
            ]
            self.ledger.replicas[name] = replicas
            self.lab.worker(name).members = [*replicas]

    async def live(self) -> Tale:
        """From the first caller until nothing is left."""
        told, _ = caught()
        for caller in self.world.callers:
            await virtual_sleep(caller.at - self.lab.clock.now())
            task = asyncio.ensure_future(self._call(caller))
            self.running.add(task)
            task.add_done_callback(self._done)
            if self.failures:
                raise self.failures[0]
        await asyncio.gather(*self.running)
        await virtual_sleep(max(plan.latency or 0 for plan in self.plans.values()))  # writes that were left behind
        self._judge()
        assert not told, told
        self.lab.assert_nothing_left()
        check_end(self.ledger, self.lab.books)
        return self.tale

    def _done(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def _call(self, caller: Caller) -> None:
        lab = self.lab
        request = Request(
            id=f"r{caller.number}",
            plan=caller.plan,
            input=Box.of({"n": caller.number}),
            arrived=lab.clock.now(),
            remaining=caller.timeout,
            critical=caller.critical,
        )
        dispatched = asyncio.ensure_future(dispatch(lab._engine, lab.config.catalogue, request))
        if caller.hangs_up is not None:
            await asyncio.wait([dispatched], timeout=caller.hangs_up / 1e9)
            dispatched.cancel()
        reply: Reply | None = None
        try:
            reply = await dispatched
        except asyncio.CancelledError:
            assert caller.hangs_up is not None
        self.replies[request.id] += 1
        await lab.settle()  # cancellations arrive in the same instant,
        await lab.settle()  # and after them those of writes whose time is over with the request's
        self._judge()
        assert reply is None or reply.report is not None

    def _judge(self) -> None:
        """Look at the requests that have ended since, and at what the replicas complain of."""
        assert not self.ledger.violations, "\n".join(self.ledger.violations)
        ended, self.seen.ended = self.seen.ended, []
        for request, report, _, at in ended:
            assert request.id not in self.ended, "it ended twice"
            assert report is not None
            self.ended[request.id] = (report, None, at)
            check_request(request, report, self.plans[request.plan], at, self.ledger)
            check_recovered(request, report)
            if self.world.calm:
                check_calm(report)
            self._tell(report)

    def _tell(self, report: Report) -> None:
        tale = self.tale
        tale.requests += 1
        tale.rules[report.completed_by] += 1
        tale.reasons.update(row.reason for row in report.branches)
        tale.kinds.update(attempt.kind for row in report.branches for attempt in row.attempts)
        tale.decisions.update((told.what, told.why) for row in report.branches for told in row.decisions)


async def _live(world: World) -> Tale:
    running = _Running(world)
    tale = await running.live()
    assert set(running.replies.values()) == {1}
    assert len(running.replies) == len(running.ended) == len(world.callers)  # each is answered once, or has hung up
    return tale


def main() -> None:
    """Replay one and say what happened in it."""
    tale = simulate(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
    for what in (tale.requests, tale.kinds, tale.reasons, tale.rules, tale.decisions):
        print(what)  # noqa: T201


if __name__ == "__main__":
    main()
