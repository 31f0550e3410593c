"""The cases about policies, as they stand in `cases/*.yaml`.

Beside the casebook of completion and not in it: there a case is a plan of many branches that end once, here it is one worker
that is asked again and again, and what counts is which attempts were made, where, and what the books say afterwards.

A case, in full:

    name, rule          the rule says where it comes from
    policy              of the worker, as in a configuration; endpoints are called in turn unless `balance` says otherwise:
                        first 0, then, of those that have not been tried, 1 of two and 2 of three
    worker, branch      more keys of the worker (effect: read unless given) and of the branch
    chance              every random number, in [0, 1)
    stage               how overloaded the process is (CALM)
    warm                {samples: n, of: 1t, at_endpoints: [1t, 5t], firsts: n}: what the books know before the first request
    endpoints           for each endpoint what its calls do, one after the other; the last one repeats (see scripted.py)
    expect | requests   what becomes of the only request, or of each: {at, latency, inherited, sheddable} and
                        {state, code, value, ends, attempts, decisions}
    after               {breakers, calls, cancels, counts} when all is over; calls and cancels follow from the attempts
    each                {WORD: [a, b, …]}: as many cases as values, with every WORD in the case replaced

An attempt is a line: `[#number] kind on ENDPOINT at TIME [until TIME]: won | cancelled | CODE`, times since the request came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from dispatcher.assembly import MERGES
from dispatcher.config import Config, load_mapping
from dispatcher.policies.books import WorkerBook
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import SECOND
from tests.conformance.casebook import DRIVERS, _timed, ns

CASES = Path(__file__).parent / "cases"

BRANCH = "call"

LATENCY, RESERVE = "60t", "10t"
"""Of every plan: far behind everything, with a reserve that a second process can use."""

AWAY = ("dead", "gone")
"""Behaviours of an endpoint that nobody can reach: it never sees a call."""

Doing = dict[str, Any]


class Asked(NamedTuple):
    """One request of a case, and what must come of it. `at` in ticks."""

    at: float
    latency: str | None
    inherited: AttemptKind
    critical: bool
    expect: dict[str, Any]


@dataclass(frozen=True)
class PolicyCase:
    """One case."""

    name: str
    rule: str
    endpoints: list[list[Doing]]
    requests: list[Asked]
    policy: dict[str, Any]
    worker: dict[str, Any] = field(default_factory=dict)
    branch: dict[str, Any] = field(default_factory=dict)
    chance: float = 0.5
    stage: str = "CALM"
    warm: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    drivers: tuple[str, ...] = DRIVERS

    def does(self, endpoint: int, call: int) -> Doing:
        """What call number `call` at that endpoint does."""
        script = self.endpoints[endpoint]
        return script[min(call, len(script) - 1)]

    def away(self, endpoint: int) -> str | None:
        """Whether nobody is there: `dead` (and known to be), `gone` (nobody has noticed yet), or None."""
        return next((word for word in AWAY if word in self.endpoints[endpoint][0]), None)


# ---------------------------------------------------------------- reading


def load() -> list[PolicyCase]:
    """All cases, in the order of their files."""
    return [
        _case(path.stem, one)
        for path in sorted(CASES.glob("*.yaml"))
        for raw in YAML(typ="safe").load(path)
        for one in _each(raw)
    ]


def _each(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The case, or one for each value of `each`."""
    each = raw.pop("each", None)
    if each is None:
        yield raw
        return
    ((word, values),) = each.items()
    for value in values:
        one = json.loads(json.dumps(raw).replace(word, str(value)))
        one["name"] += f"_{str(value).lower()}"
        yield one


def _case(stem: str, raw: dict[str, Any]) -> PolicyCase:
    asked = raw.pop("requests") if "requests" in raw else [{"at": "0t", **raw.pop("expect")}]
    policy = {"balance": "round_robin", **raw.pop("policy", {})}
    raw["drivers"] = tuple(raw.pop("drivers", DRIVERS))
    return PolicyCase(f"{stem}_{raw.pop('name')}", policy=policy, requests=[_asked(one) for one in asked], **raw)


def _asked(raw: dict[str, Any]) -> Asked:
    at = float(raw.pop("at").removesuffix("t"))
    inherited = AttemptKind[raw.pop("inherited", "first").upper()]
    return Asked(at, raw.pop("latency", None), inherited, not raw.pop("sheddable", False), raw)


def configuration(cases: list[PolicyCase], tick: int, addresses: dict[str, list[str]], **server: Any) -> Config:
    """One configuration with a policy, a worker and a plan for each case. `addresses`: of its endpoints."""
    return load_mapping(
        {
            "version": 1,
            "policies": {case.name: _ticked(case.policy, tick) for case in cases},
            "workers": {case.name: _worker(case, tick, addresses[case.name]) for case in cases},
            "plans": {
                case.name: {
                    "budget": {"latency": _timed(LATENCY, tick)},
                    "merge_reserve": _timed(RESERVE, tick),
                    "branches": {BRANCH: {"worker": case.name, **_ticked(case.branch, tick)}},
                }
                for case in cases
            },
            "server": {"metrics": None, "limits": {"part": "4KiB", "branch": "16KiB"}, **server},
        },
        MERGES,
    )


def _worker(case: PolicyCase, tick: int, addresses: list[str]) -> dict[str, Any]:
    return {"effect": "read", "policy": case.name, "endpoints": addresses, **_ticked(case.worker, tick)}


def _ticked(part: dict[str, Any], tick: int) -> dict[str, Any]:
    """Times in ticks as durations, and a rate `per_tick` as one per second."""
    out: dict[str, Any] = _timed(part, tick)
    rate = out.get("limit", {}).get("rate")
    if rate is not None and "per_tick" in rate:
        rate["per_second"] = rate.pop("per_tick") * SECOND / tick
    return out


def warm(case: PolicyCase, book: WorkerBook, addresses: list[str], now: int, tick: int) -> None:
    """Write into the worker's book what the case says it knows."""
    for _ in range(case.warm.get("samples", 0)):
        book.latencies.observe(ns(case.warm["of"], tick) or 0, now)
    for _ in range(case.warm.get("firsts", 0)):
        book.hedges.deposit(1.0)
    for address, latency in zip(addresses, case.warm.get("at_endpoints", ()), strict=False):
        book.endpoint(address).ewma.observe(ns(latency, tick) or 0, now)
