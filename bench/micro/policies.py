"""What the policies cost a branch that needs none of them: one attempt, which answers at once.

The whole engine without the network, as in `flow`, with ten branches; and the parts of it that are asked each time.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

import uvloop

from bench.kit.best import best
from bench.kit.plans import Bench
from dispatcher.model.policy import NO_LIMIT, STANDARD
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.picking import Ask, Picked, pick
from dispatcher.policies.settling import settle
from fanmesh.model.outcome import Success

BRANCHES = 10
ROUNDS = 60
REQUESTS = 50

VARIANTS = {
    "engine, no policy": ("none", 1, False),
    "engine, standard": ("standard", 1, False),
    "engine, standard, 3 endpoints": ("standard", 3, False),
    "engine, hedged, 3 endpoints": ("hedged", 3, False),
    "engine, hedged, limits, 3 endpoints": ("hedged", 3, True),
}


class Place:
    """An endpoint that is connected."""

    spare = False

    def __init__(self, address: str) -> None:
        self.address = address

    def ready(self) -> bool:
        """Always."""
        return True


async def engines() -> dict[str, float]:
    """µs per branch of each variant, measured in turn: the best of some rounds."""
    benches = {
        name: Bench(BRANCHES, policy, endpoints=count, limits=limits) for name, (policy, count, limits) in VARIANTS.items()
    }
    least = dict.fromkeys(VARIANTS, float("inf"))
    for _ in range(ROUNDS):
        for name, bench in benches.items():
            began = perf_counter()
            for _ in range(REQUESTS):
                await bench.request()
            least[name] = min(least[name], 1e6 * (perf_counter() - began) / (REQUESTS * BRANCHES))
    return least


def picked(count: int) -> float:
    """µs to choose among `count` endpoints, take the permits and settle them after an answer."""
    book, places, now = WorkerBook("w"), [Place(f"127.0.0.1:{i}") for i in range(count)], 0
    ask = Ask(STANDARD, NO_LIMIT, (), elsewhere=False, until=10**9)
    answer = Success(None)

    def once() -> None:
        nonlocal now
        now += 1_000_000
        chosen = pick(book, places, ask, now, 0.3, 0.7)
        if isinstance(chosen, Picked):
            settle(book, chosen, STANDARD, answer, sent_at=now, deadline=10**9, answered_at=None, now=now + 5_000_000, u=0.5)

    return best(once)


def figures() -> dict[str, dict[str, float]]:
    """µs for each."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = {name: {str(BRANCHES): cost} for name, cost in runner.run(engines()).items()}
    return {**found, "pick and settle, by endpoints": {str(count): picked(count) for count in (1, 5, 10)}}
