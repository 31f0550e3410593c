"""The figures of the payoff bench as Markdown, for docs/bench/figures.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.kit.results import RESULTS, read
from bench.payoff.claims import Claim
from bench.payoff.scenarios import SCENARIOS


def lines() -> Iterator[str]:
    """Claims, then each scenario, then the defects. Nothing if nothing was kept yet."""
    if not (RESULTS / "payoff.json").exists():
        return
    kept = read("payoff")
    beside = ", ".join(f"{name} {version or 'not installed'}" for name, version in kept["beside"].items())
    yield ""
    yield "## What the policies pay"
    yield ""
    yield f"Real processes on 127.0.0.1, seeded; calls are counted at the replicas. Beside us: {beside}."
    yield ""
    yield "| claim | measured | bound | |"
    yield "|---|---|---|---|"
    for told in kept["claims"]:
        claim = Claim(*(told[name] for name in Claim._fields))
        measured = "–" if claim.measured is None else f"{claim.measured:.3f}"
        bound = f"{'≥' if claim.least else '≤'} {claim.bound:.3f}"
        yield f"| {claim.about} | {measured} | {bound} | {'met' if claim.holds else 'missed'} |"
    for name, found in kept["scenarios"].items():
        yield ""
        yield str(SCENARIOS[name].__doc__)
        yield ""
        yield from _scenario(found)
    yield ""
    yield "Five defects, looked for in both:"
    yield ""
    yield "| | hedge-python | Fanmesh |"
    yield "|---|---|---|"
    for name, both in kept["defects"].items():
        yield f"| {name} | {_observed(both['hedge-python'])} | {_observed(both['fanmesh'])} |"


def _scenario(found: dict[str, Any]) -> Iterator[str]:
    yield "| | requests | answered | p50, ms | p90 | p99 | calls a request | cancelled |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, one in found.items():
        times = " | ".join(f"{one[key]:.1f}" for key in ("p50_ms", "p90_ms", "p99_ms"))
        yield f"| {name} | {one['requests']} | {one['ok']:.2%} | {times} | {one['calls_per_request']:.3f} | {one['cancels']} |"


def _observed(one: dict[str, Any] | None) -> str:
    return "cannot hedge" if one is None else f"{'**defect**' if one['defect'] else 'no'}: {one['text']}"
