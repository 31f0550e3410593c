"""A world made from a seed: a configuration, what each replica is going to be, and who calls when. All decided beforehand.

Three minutes of trouble, in which callers come at rates from one in two seconds to a hundred a second; then everything is well
again, and calm traffic goes on for as long as it takes to find out that it is. In one world of eight nothing is ever wrong.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from fanmesh.model.times import SECOND
from fanmesh.testing import ms
from tests.simulation.policies.replicas import ILL, Life, Mood

TROUBLE = 180 * SECOND
OPEN_MAX = 4 * SECOND
RECOVERY = 2 * OPEN_MAX
CALM = 75 * SECOND
"""After it every endpoint has been called again: what is remembered of the worst one fades within a minute."""


@dataclass(frozen=True)
class Caller:
    """One request. Times are ns; `hangs_up` counts from `at`."""

    number: int
    at: int
    plan: str
    timeout: int | None = None
    hangs_up: int | None = None
    critical: bool = True


@dataclass(frozen=True)
class World:
    """Everything there is. `calm`: nothing is ever wrong."""

    seed: int
    calm: bool
    config: dict[str, Any]
    lives: dict[str, list[Life]]
    callers: list[Caller]


def make(seed: int, size: float = 1.0) -> World:
    """The world of a seed. `size` 2.0: twice as many callers in time of trouble."""
    dice = random.Random(f"policies {seed}")  # noqa: S311  (a simulation)
    calm = seed % 8 == 7
    paces = {f"w{i}": ms(dice.randint(4, 60)) for i in range(dice.randint(2, 4))}
    policies = {f"p_{name}": _policy(dice, pace, calm=calm) for name, pace in paces.items()}
    workers = {name: _worker(dice, name, policies, calm=calm) for name in paces}
    plans = {f"plan{i}": _plan(dice, list(paces)) for i in range(dice.randint(1, 2))}
    config = {
        "version": 1,
        "policies": policies,
        "workers": workers,
        "plans": plans,
        "routes": [{"plan": "plan0"}],
    }
    lives = {name: [_life(dice, pace, calm=calm) for _ in range(dice.randint(1, 5))] for name, pace in paces.items()}
    return World(seed, calm, config, lives, _callers(dice, list(plans), size))


def _time(dice: random.Random, least: int, most: int) -> str:
    return f"{dice.randint(least, most)}ms"


def _policy(dice: random.Random, pace: int, *, calm: bool) -> dict[str, Any]:
    """One of the built-in ones, changed here and there."""
    policy: dict[str, Any] = {"extends": dice.choice(["standard", "hedged", "hedged"])}
    retry: dict[str, Any] = {
        "max_attempts": dice.choice([2, 3, 3, 5]),
        "codes": dice.choice([["UNAVAILABLE"], ["UNAVAILABLE"], ["UNAVAILABLE", "INTERNAL", "UNKNOWN"]]),
        "on_timeout": dice.random() < 0.7,
        "backoff": {"initial": _time(dice, 0, 60), "max": _time(dice, 100, 1000)},
        "budget": {"ratio": dice.choice([0, 0.1, 0.2, 0.5]), "min_per_second": dice.choice([0, 0.2, 1, 2])},
    }
    if dice.random() < 0.6:
        retry["per_try_timeout"] = f"{pace * dice.randint(5, 12) // ms(1)}ms"
    if policy["extends"] == "hedged":
        policy["hedge"] = {
            "after": dice.choice(["p90", "p95", "p95", f"{pace * 2 // ms(1)}ms"]),
            "max_extra_load": dice.choice([0.05, 0.2, 1.0]),
            "min_samples": dice.choice([5, 20]),
        }
    if dice.random() < 0.85:
        policy["retry"] = retry
    elif dice.random() < 0.5:
        policy["retry"] = None
    policy["breaker"] = {
        "consecutive_failures": dice.choice([2, 5, None]),
        "failure_rate": {"over": 0.5, "window": "10s", "min_requests": dice.choice([5, 20])},
        "open_for": {"initial": dice.choice(["200ms", "1s"]), "max": f"{OPEN_MAX // SECOND}s"},
    }
    if not calm and dice.random() < 0.1:
        policy["breaker"] = None
    policy["balance"] = dice.choice(["p2c_ewma", "p2c_ewma", "round_robin"])
    return policy


def _worker(dice: random.Random, name: str, policies: dict[str, Any], *, calm: bool) -> dict[str, Any]:
    worker: dict[str, Any] = {"target": "127.0.0.1:1", "effect": "read", "policy": f"p_{name}"}
    if dice.random() < 0.25:
        worker |= {"effect": "write", "idempotent": dice.random() < 0.3}
        policies[f"p_{name}"].pop("hedge", None)
        policies[f"p_{name}"]["extends"] = "standard"
    elif dice.random() < 0.3:
        worker["stream"] = True
    if calm:
        return worker
    limit: dict[str, Any] = {}
    if dice.random() < 0.5:
        limit |= {"in_flight": dice.randint(2, 16), "queue": dice.choice([0, 3, 20])}
    if dice.random() < 0.4:
        limit["endpoint_in_flight"] = dice.randint(1, 8)
    if dice.random() < 0.25:
        limit["rate"] = {"per_second": dice.randint(5, 40), "burst": dice.randint(1, 10)}
    return worker | ({"limit": limit} if limit else {})


def _plan(dice: random.Random, workers: list[str]) -> dict[str, Any]:
    branches: dict[str, Any] = {}
    for i in range(dice.choice([2, 2, 2, 3, 3, 4, 8])):
        branch: dict[str, Any] = {"worker": dice.choice(workers), "weight": dice.choice([1, 1, 2.5])}
        if dice.random() < 0.3:
            branch["timeout"] = _time(dice, 400, 1500)
        if dice.random() < 0.15:
            branch["required"] = True
        elif dice.random() < 0.2:
            branch["soft_timeout"] = _time(dice, 100, 390)
        if dice.random() < 0.2:
            branch["if_missing"] = {"use": {"from": "nobody"}}
        branches[f"b{i}"] = branch
    until: Any = dice.choice(["all", "all", "all", "first", {"coverage": 0.6}, {"count": 2}])
    return {
        "budget": {"latency": _time(dice, 600, 3000)},
        "branches": branches,
        "complete": {"until": until},
        "accept": {"min_success": dice.choice([0, 1, 1])},
    }


def _life(dice: random.Random, pace: int, *, calm: bool) -> Life:
    """Well and ill in turns, until the trouble ends."""
    since, moods, at = [0], [Mood.HEALTHY], dice.randint(0, 20 * SECOND)
    while at < TROUBLE and not calm:
        since.append(at)
        moods.append(dice.choice(ILL) if moods[-1] is Mood.HEALTHY or dice.random() < 0.2 else Mood.HEALTHY)
        at += dice.randint(SECOND, 30 * SECOND)
    return Life((*since, TROUBLE), (*moods, Mood.HEALTHY), pace, dice.randint(1, 6), dice.getrandbits(32))


def _callers(dice: random.Random, plans: list[str], size: float) -> list[Caller]:
    """Phases of a rate each, arrivals at random within; a fast phase is short. Some callers are in a hurry, some hang up."""
    callers: list[Caller] = []
    at = 0.0
    while at < TROUBLE:
        rate = dice.choice([0.5, 0.5, 0.5, 0.5, 1.0, 3.0, 20.0, 100.0])
        until = min(at + dice.uniform(5, 30) * SECOND, at + (20 if rate > 10 else 12) / rate * SECOND)
        while (at := at + dice.expovariate(rate * size) * SECOND) < min(until, TROUBLE):
            timeout = dice.choice([None] * 10 + [ms(dice.randint(20, 400)), ms(4), ms(10_000)])
            hangs_up = ms(dice.randint(1, 300)) if dice.random() < 0.05 else None
            critical = dice.random() < 0.8
            callers.append(Caller(len(callers), int(at), dice.choice(plans), timeout, hangs_up, critical))
    at = float(TROUBLE)
    while at < TROUBLE + RECOVERY + CALM:
        rate = 4.0 if at < TROUBLE + RECOVERY else 0.5
        at += dice.expovariate(rate) * SECOND
        callers.append(Caller(len(callers), int(at), plans[len(callers) % len(plans)]))
    return callers
