"""The scenarios, each with what it claims. Rates are low on purpose: it is about the tail of replicas, not of this machine."""

from __future__ import annotations

from importlib.util import find_spec
from math import ceil

from bench.payoff.claims import Claim, Figures, extra, figure, ratio
from bench.payoff.draws import Shape
from bench.payoff.measuring import DIRECT, HEDGED, NONE, REPLICAS, RIVAL, STANDARD, Setting, Variant, measure

RATE = 60.0
BUDGET_RATIO, BUDGET_FLOOR, BUDGET_WINDOW = 0.2, 1.0, 10
"""Of the built-in policies: further attempts per first one, and per second; within any so many seconds."""

Result = tuple[Figures, list[Claim]]


def seconds(full: float, brief: float, *, quick: bool) -> float:
    """How long."""
    return brief if quick else full


def stragglers(*, quick: bool) -> Result:
    """(a) 5 % of calls take ten times as long."""
    setting = Setting("a", RATE, seconds(8, 2, quick=quick), seconds(50, 5, quick=quick), Shape("a", mean=20.0, deviation=8.0))
    hedged, early = Variant("hedged", "allowed"), Variant("hedged at p90", "early")
    found = measure([NONE, hedged, early, DIRECT, RIVAL], setting)
    return found, [
        Claim("(a) stragglers: p99, hedged / none", ratio(found, "p99_ms", "hedged", "none"), 0.33),
        Claim("(a) stragglers: extra calls, hedged", extra(found, "hedged"), 0.055),
    ]


def slow_replica(*, quick: bool) -> Result:
    """(b) One of four replicas takes ten times as long."""
    factors = {"factors": [10.0, *[1.0] * (REPLICAS - 1)]}
    timing = (RATE, seconds(8, 2, quick=quick), seconds(25, 3, quick=quick))
    found = measure([NONE, STANDARD], Setting("b", *timing, Shape("b", stragglers=0.0), before=factors))
    return found, [Claim("(b) one slow replica: p99, standard / round robin", ratio(found, "p99_ms", "standard", "none"), 0.5)]


def all_slow(*, quick: bool) -> Result:
    """(c) Everything turns ten times as slow at once, after a warm-up in which it was fast."""
    timing = (RATE, seconds(8, 2, quick=quick), seconds(30, 3, quick=quick))
    found = measure([STANDARD, HEDGED], Setting("c", *timing, Shape("c"), after={"factors": [10.0] * REPLICAS}))
    return found, [
        Claim("(c) everything slow: extra calls, hedged", extra(found, "hedged"), 0.055),
        Claim("(c) everything slow: p99, hedged / standard", ratio(found, "p99_ms", "hedged", "standard"), 1.05),
    ]


def all_failing(*, quick: bool) -> Result:
    """(d) Every call fails, from the beginning."""
    timing = (RATE, 2.0, lasting := seconds(20, 3, quick=quick))
    bare = [Variant("standard, no breaker", "budgeted"), Variant("hedged, no breaker", "budgeted_hedged")]
    found = measure([NONE, STANDARD, *bare], Setting("d", *timing, Shape("d"), before={"fail": True}))
    # The budget's own rule: in 10 s at most 10 · floor, and a share of what was sent then or up to a second before.
    floor = BUDGET_FLOOR * BUDGET_WINDOW * ceil(lasting / BUDGET_WINDOW) / (RATE * lasting)
    bound = round(1.0 + BUDGET_RATIO * (lasting + 1) / lasting + floor, 4)
    return found, [
        Claim(f"(d) everything fails: attempts a request, {name}", figure(found, name, "calls_per_request"), bound)
        for name in ("standard", *(variant.name for variant in bare))
    ]


def foreign_faults(*, quick: bool) -> Result:
    """(f) Envoy delays 20 % of calls by 100 ms and aborts 10 % as UNAVAILABLE."""
    timing = (RATE, seconds(8, 2, quick=quick), seconds(25, 3, quick=quick))
    variants = [NONE, STANDARD, Variant("eager", "eager")]
    installed = find_spec("envoy") is not None
    found = measure(variants if installed else [], Setting("f", *timing, Shape("f", stragglers=0.0), envoy=True))
    return found, [
        Claim("(f) Envoy's faults: share of requests answered, standard", figure(found, "standard", "ok"), 0.99, least=True),
        Claim("(f) Envoy's faults: share of requests answered, eager", figure(found, "eager", "ok"), 0.99, least=True),
        Claim("(f) Envoy's faults: p90, eager / none", ratio(found, "p90_ms", "eager", "none"), 0.5),
    ]


def _fan(width: int, *, cover: bool) -> dict[str, object]:
    complete = {"complete": {"until": {"coverage": 0.95}}} if cover else {}
    return {"budget": {"latency": "5s"}, "branches": {f"b{n}": {"worker": "w"} for n in range(width)}, **complete}


WIDTHS = {1: (40.0, 15.0), 10: (20.0, 15.0), 30: (8.0, 20.0), 100: (4.0, 40.0)}
"""Requests per second and seconds, by width: a hundred calls cost this machine more than the replicas take."""


def tail_at_scale(*, quick: bool) -> Result:
    """(e) One request waits for 1 … 100 calls, of which 1 % are stragglers."""
    found: Figures = {}
    for width in (100,) if quick else WIDTHS:
        rate, full = WIDTHS[width]
        plans = {"all": _fan(width, cover=False), "most": _fan(width, cover=True)}
        shape = Shape("e", mean=20.0, deviation=8.0, stragglers=0.01)
        timing = (rate, seconds(3, 1, quick=quick), seconds(full, 3, quick=quick))
        variants = [
            Variant("none", "none", plan="all"),
            Variant("hedged", "hedged", plan="all"),
            Variant("coverage 0.95", "none", plan="most"),
        ]
        one = measure(variants, Setting("e", *timing, shape, paced=True, plans=plans))
        found |= {f"{name}, {width}": figures for name, figures in one.items()}
    return found, [
        Claim("(e) fan-out of 100: p99, coverage 0.95 / all", ratio(found, "p99_ms", "coverage 0.95, 100", "none, 100"), 0.5)
    ]


SCENARIOS = {
    "stragglers": stragglers,
    "slow_replica": slow_replica,
    "all_slow": all_slow,
    "all_failing": all_failing,
    "tail_at_scale": tail_at_scale,
    "foreign_faults": foreign_faults,
}
