"""The storms, and what is measured of them: seeded, on virtual time, the same in every run.

A hundred callers a second; the leaf can serve two hundred. For a while it cannot. Counted are the attempts that reach it, for
the requests that came while it could not; and how long after its trouble the answers are back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.storm.layers import Call, Mesh, naive
from bench.storm.leaf import Leaf, Trouble
from dispatcher.model.policy import BudgetRule
from fanmesh.model.outcome import Success
from fanmesh.model.times import SECOND
from fanmesh.testing import VirtualClock, VirtualLoop, run_virtual
from fanmesh.testing.scripts import virtual_sleep

RATE: Final = 100
GOOD: Final = 0.99
"""Share of a second's requests that must be answered for it to be a good second."""


@dataclass(frozen=True)
class Storm:
    """Times in s. `at_once`: so many callers come in the very instant in which the trouble begins, and no others.

    After `until` callers come for `tail` more, and are not counted: else the last ones find a service that nobody else calls.
    """

    about: str
    trouble: Trouble
    begins: int
    ends: int
    until: int
    at_once: int = 0
    tail: int = 10


STORMS: Final = {
    "at once": Storm("1,000 callers in one instant, the leaf is down", Trouble.DOWN, 1, 60, 60, at_once=1000),
    "down": Storm("100 callers a second, the leaf is down for 20 s", Trouble.DOWN, 10, 30, 60),
    "overloaded": Storm("100 callers a second, the leaf is four times as slow for 20 s", Trouble.OVERLOADED, 10, 30, 60),
}

Maker = Callable[[Leaf, int], Call]


def ours(*, breaker: bool = True, heeds: bool = True) -> Maker:
    """Three dispatchers."""
    return lambda leaf, seed: Mesh(leaf, seed, breaker=breaker, heeds=heeds).call


VARIANTS: Final[dict[str, Maker]] = {
    "naive": naive,
    "budgets only": ours(breaker=False, heeds=False),
    "budgets, pushback": ours(breaker=False),
    "Fanmesh": ours(),
}


@dataclass
class Found:
    """`attempts_per_request` at the leaf, of requests that came in trouble; `peak_per_s`: attempts in the worst second.

    `answered`: share of the requests that came in trouble. `recovery_s`: from the trouble's end to the end of the last second
    that was not good; None = nobody came then, or the answers did not come back within the run. By second: `seen` attempts at
    the leaf, `good` share answered of those that came then, None = nobody came.
    """

    requests: int
    attempts_per_request: float
    peak_per_s: int
    answered: float
    recovery_s: int | None
    seen: list[int]
    good: list[float | None]


def run(storm: Storm, make: Maker, seed: int = 1) -> Found:
    """One storm over one set of layers."""
    return run_virtual(_run(storm, make, seed))


async def _run(storm: Storm, make: Maker, seed: int) -> Found:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("a storm blows on virtual time")
    clock = VirtualClock(loop)
    leaf = Leaf(clock, storm.trouble, storm.begins * SECOND, storm.ends * SECOND)
    call = make(leaf, seed)
    came: list[tuple[int, str]] = []
    good: set[str] = set()

    async def caller(name: str) -> None:
        if isinstance(await call(name), Success):
            good.add(name)

    running = []
    for at in _arrivals(storm, seed):
        await virtual_sleep(at - clock.now())
        name = f"r{len(came)}"
        came.append((at, name))
        running.append(asyncio.ensure_future(caller(name)))
    await asyncio.gather(*running)
    return _found(storm, leaf, came, good)


def _arrivals(storm: Storm, seed: int) -> list[int]:
    if storm.at_once:
        return [storm.begins * SECOND] * storm.at_once
    dice, at, out = random.Random(seed), 0.0, []  # noqa: S311  (a simulation)
    while (at := at + dice.expovariate(RATE)) < storm.until + storm.tail:
        out.append(int(at * SECOND))
    return out


def _found(storm: Storm, leaf: Leaf, came: list[tuple[int, str]], good: set[str]) -> Found:
    by_second: list[list[str]] = [[] for _ in range(storm.until)]
    for at, name in came:
        if at < storm.until * SECOND:
            by_second[at // SECOND].append(name)
    share = [sum(name in good for name in names) / len(names) if names else None for names in by_second]
    troubled = [name for names in by_second[storm.begins : storm.ends] for name in names]
    bad = [second for second in range(storm.ends, storm.until) if (s := share[second]) is not None and s < GOOD]
    never = storm.at_once or (bad and bad[-1] == storm.until - 1)
    return Found(
        requests=len(troubled),
        attempts_per_request=sum(leaf.attempts[name] for name in troubled) / len(troubled),
        peak_per_s=max(leaf.seen.values(), default=0),
        answered=sum(name in good for name in troubled) / len(troubled),
        recovery_s=None if never else max(bad, default=storm.ends - 1) + 1 - storm.ends,
        seen=[leaf.seen[second] for second in range(storm.until)],
        good=share,
    )


def cap(requests: int, storm: Storm, layers: int) -> float:
    """The most attempts that may reach the leaf if `layers` of the layers retry: what their budgets give out.

    Each layer adds a fifth of the attempts that reach it, and one a second; and of both what it saved up in ten seconds before.
    """
    rule = BudgetRule()
    saved = 0 if storm.at_once else rule.ratio * RATE * 10
    seconds = 1 if storm.at_once else storm.ends - storm.begins
    most = float(requests)
    for _ in range(layers):
        most += rule.ratio * most + saved + rule.min_per_second * (seconds + 10)
    return most


def measure() -> dict[str, dict[str, Any]]:
    """Every storm over every set of layers."""
    return {name: {variant: asdict(run(storm, make)) for variant, make in VARIANTS.items()} for name, storm in STORMS.items()}
