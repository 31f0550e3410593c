"""Hundreds of equal and other requests at one cached branch, whose workers and callers do what they like, in virtual time.

Whatever happens: one reply each, nobody is given another's answer or one that is too old, at most one call of a kind flies, and
in the end nothing is left: no call, no waiter, no place, no task.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from dispatcher.flow.ports import Reply
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.times import MS
from fanmesh.model.values import Value
from fanmesh.testing import Lab, Script, ms, run_virtual
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.caching import ask, conf, row

S, R = BranchState, BranchReason
SEEDS = range(40)
REQUESTS = 150
TTL, STALE = 300, 1500
CODES = (Code.UNAVAILABLE, Code.INTERNAL, Code.DEADLINE_EXCEEDED, Code.NOT_FOUND, Code.RESOURCE_EXHAUSTED)


@dataclass
class World:
    """A worker that says for which key it was called, in which lane, and when it answered."""

    lab: Lab
    chance: random.Random
    flying: dict[Value, int] = field(default_factory=dict)
    most: int = 0
    calls: int = 0

    def script(self) -> Script:
        """Answers, fails or hangs, sooner or later; now and then it takes its time to be cancelled."""

        async def play(given: Value, _take: PartTaker) -> Outcome:
            self.calls += 1
            self.flying[str(given)] = self.flying.get(str(given), 0) + 1
            self.most = max(self.most, self.flying[str(given)])
            try:
                return await self.plays(given)
            except asyncio.CancelledError:
                if self.chance.random() < 0.2:
                    await virtual_sleep(self.chance.randrange(20) * MS)
                raise
            finally:
                self.flying[str(given)] -= 1

        return Script(play, "world")

    async def plays(self, given: Value) -> Outcome:
        """One call."""
        kind, after = self.chance.random(), self.chance.randrange(120) * MS
        if kind < 0.1:
            after = ms(60_000)
        await virtual_sleep(after)
        if kind < 0.4:
            return Fault.of(self.chance.choice(CODES))
        return Success({"for": given, "at": self.lab.clock.now()})

    async def caller(self, number: int) -> tuple[int, Reply | None, int]:
        """A request, which may be given up by its caller: the key it has asked for, its reply, and when it had it."""
        key = self.chance.randrange(3)
        asked = asyncio.ensure_future(
            ask(
                self.lab,
                key,
                after=self.chance.randrange(4_000),
                within=self.chance.choice((30, 100, 400, 2_000)),
                critical=self.chance.random() < 0.8,
            )
        )
        if self.chance.random() < 0.2:
            await asyncio.wait([asked], timeout=self.chance.randrange(4_000) / 1000)
            asked.cancel()
        with suppress(asyncio.CancelledError):
            return key, await asked, self.lab.clock.now()
        return key, None, number


def seeded(seed: int) -> tuple[World, list[tuple[int, Reply | None, int]]]:
    """One storm."""

    async def main() -> tuple[World, list[tuple[int, Reply | None, int]]]:
        chance = random.Random(seed)  # noqa: S311  (a storm that can be seen again)
        rule = {
            "ttl": f"{TTL}ms" if chance.random() < 0.7 else "0s",
            "max_entries": chance.choice((1, 2, 100)),
            **({"stale_on_error": f"{STALE}ms"} if chance.random() < 0.7 else {}),
        }
        limit = {"limit": {"in_flight": chance.choice((1, 3)), "queue": chance.randrange(4)}} if chance.random() < 0.5 else {}
        policy = chance.choice(("none", "standard", "hedged"))
        lab = Lab(conf(rule, workers={"a": {**limit, "policy": policy}}, timeout=f"{chance.choice((80, 300))}ms"), seed=seed)
        lab.worker("a").replicas(2)
        world = World(lab, chance)
        lab.worker("a").plays(world.script())
        seen = list(await asyncio.gather(*(world.caller(number) for number in range(REQUESTS))))
        await virtual_sleep(ms(100))
        await lab.settle()
        lab.assert_nothing_left()
        assert not any(world.flying.values())
        return world, seen

    return run_virtual(main())


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens(seed: int) -> None:
    """See the head of this file."""
    world, seen = seeded(seed)
    answered = 0
    for key, reply, at in seen:
        if reply is None or row(reply).state not in {S.SUCCEEDED, S.FELL_BACK}:
            continue
        answered += 1
        value = reply.value
        assert isinstance(value, dict)
        given = value["a"]
        assert isinstance(given, dict)
        assert given["for"] == key
        oldest = TTL if row(reply).state is S.SUCCEEDED else TTL + STALE
        assert isinstance(given["at"], int)
        assert 0 <= at - given["at"] <= ms(oldest)
    assert answered
    worker = world.lab.config.catalogue.plans["p"].nodes[0].worker
    lanes = 2  # critical, sheddable
    if worker.limit.in_flight is None:  # else who is more urgent than a leader in the queue calls beside it
        assert world.most <= lanes * (2 if worker.policy.hedge is not None else 1)
    counts = world.lab.books.caches.branches["p", "a"].counts
    assert sum(counts.values()) <= REQUESTS
    assert counts.get("joined", 0) + counts.get("hit", 0) > 0


def test_the_same_seed_is_the_same_storm() -> None:
    """So that a failure can be looked at."""
    (one, _), (other, _) = seeded(7), seeded(7)
    assert (one.calls, one.most) == (other.calls, other.most)
    assert one.lab.books.caches.branches["p", "a"].counts == other.lab.books.caches.branches["p", "a"].counts
