"""The cases as they stand in `cases/*.yaml`, and what a driver has to say of each.

A case says what its workers do and what must come of it, in ticks: a time such as `3t`. Each driver has its own length of a
tick, so that the same case runs exactly on virtual time and without races on a real network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dispatcher.assembly import MERGES
from dispatcher.config import Config, load_mapping
from dispatcher.model.request import Refusal, Tightening
from fanmesh.model.fault import Code
from fanmesh.model.report import Report
from fanmesh.model.values import Value

CASES = Path(__file__).parent / "cases"
TICKS = re.compile(r"(\d+(?:\.\d+)?)t")

DRIVERS = ("pure", "lab", "wire", "remote")

LATENCY, RESERVE = "40t", "10t"
"""Of a plan that says nothing: far behind everything, with a reserve that a second process can use."""


@dataclass(frozen=True)
class Case:
    """One case. `scripts`: what each branch's worker does, and its fallback's (`branch#1`); `expect`: what must come of it."""

    name: str
    rule: str
    plan: dict[str, Any]
    scripts: dict[str, dict[str, Any]]
    expect: dict[str, Any]
    data: Any = None
    attributes: dict[str, str] = field(default_factory=dict)
    timeout: str | None = None
    accept: dict[str, Any] = field(default_factory=dict)
    latency: str | None = None
    drivers: tuple[str, ...] = DRIVERS

    def tightening(self, tick: int) -> Tightening:
        """What its caller asks beyond the plan."""
        return Tightening(
            ns(self.latency, tick),
            self.accept.get("min_success", 0),
            self.accept.get("min_coverage", 0.0),
            frozenset(self.accept.get("required", ())),
        )


@dataclass(frozen=True)
class Seen:
    """What a driver saw. None: it cannot see that."""

    by: str
    fates: dict[str, str]
    value: Value
    merged: list[str]
    coverage: dict[str, Any]
    conflicts: list[str]
    at: int | None = None
    code: str | None = None
    reason: str | None = None
    degraded: list[str] | None = None
    complete: bool | None = None


def ns(ticks: str | None, tick: int) -> int | None:
    """`3t` in ns."""
    return None if ticks is None else round(float(ticks.removesuffix("t")) * tick)


def load() -> list[Case]:
    """All cases, in the order of their files."""
    cases = []
    for path in sorted(CASES.glob("*.yaml")):
        for raw in YAML(typ="safe").load(path):
            plan = raw.pop("plan", {})
            plan.setdefault("budget", {"latency": LATENCY})
            plan.setdefault("merge_reserve", RESERVE)
            plan |= {way: raw.pop(way) for way in ("branches", "stages", "cascade") if way in raw}
            scripts: dict[str, Any] = {}
            for name, branch in called(plan):
                scripts |= {f"{name}#{n}": one.pop("does") for n, one in enumerate(chain(branch), 1) if "does" in one}
                scripts.setdefault(name, branch.pop("does", {"hangs": True}))
            drivers = raw.pop("drivers", DRIVERS)
            stands_in = any(chain(branch) for _, branch in called(plan)) or len(called(plan)) > len(branches_of(plan))
            raw["drivers"] = tuple(one for one in drivers if one != "pure" or not stands_in)  # that one asks each worker once
            cases.append(Case(f"{path.stem}_{raw.pop('name')}", plan=plan, scripts=scripts, data=raw.pop("input", None), **raw))
    return cases


def branches_of(plan: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The branches of a plan by name, however they are written."""
    stages = [plan["branches"]] if "branches" in plan else plan.get("stages", [])
    steps = [(step["branch"], step) for step in plan.get("cascade", [])]
    return [*((name, branch) for stage in stages for name, branch in stage.items()), *steps]


def configuration(cases: list[Case], tick: int, workers: dict[str, str], **server: Any) -> Config:
    """One configuration with a plan for each case. `workers`: the target of each kind of worker."""
    return load_mapping(
        {
            "version": 1,
            "default_policy": "none",
            "attributes": ["script", "go", "n"],
            "workers": {
                name: {
                    "target": target,
                    "effect": "write" if name == "writes" else "read",
                    "attributes": ["script"],
                    "stream": name == "parts",
                }
                for name, target in workers.items()
            },
            "plans": {case.name: _plan(case, tick) for case in cases},
            "server": {"metrics": None, "limits": {"part": "4KiB", "branch": "16KiB"}, **server},
        },
        MERGES,
    )


WORKERS = ("once", "parts", "writes", "rubbish", "dead")


def _plan(case: Case, tick: int) -> dict[str, Any]:
    plan: dict[str, Any] = _timed(case.plan, tick)
    for name, branch in called(plan):
        branch["worker"] = worker_of(case.scripts[name])
        for number, one in enumerate(chain(branch), 1):
            if (script := case.scripts.get(f"{name}#{number}")) is not None:
                one["worker"] = worker_of(script)
    return plan


def called(plan: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The branches of a plan, and the one that its merge is, if that is one."""
    merge = plan.get("merge")
    more = [(name, one) for name, one in merge.items() if name == "synthesize"] if isinstance(merge, dict) else []
    return [*branches_of(plan), *more]


def chain(branch: dict[str, Any]) -> list[dict[str, Any]]:
    """The fallbacks of a branch, in order."""
    found = []
    one = branch.get("fallback")
    while one is not None:
        found.append(one)
        one = one.get("fallback")
    return found


def worker_of(script: dict[str, Any]) -> str:
    """The kind of worker that can do it."""
    words = {*script, *(word for does in script.get("each", {}).values() for word in does)}
    return next((worker for worker in ("parts", "rubbish", "dead", "writes") if worker in words), "once")


def _timed(part: Any, tick: int) -> Any:
    match part:
        case dict():
            return {key: _timed(value, tick) for key, value in part.items()}
        case list():
            return [_timed(value, tick) for value in part]
        case str() if TICKS.fullmatch(part):
            return f"{(ns(part, tick) or 0) // 1000}us"
        case _:
            return part


def seen_in(report: Report, value: Value, refusal: Refusal | None, code: Code, at: int | None) -> Seen:
    """What a full driver saw."""
    return Seen(
        by=report.completed_by.name,
        fates={named_row(row.branch, row.item_key, row.item): fate(row.state.name, row.reason.name) for row in report.branches},
        value=value,
        merged=[named_row(row.branch, row.item_key, row.item) for row in report.branches if row.merged],
        coverage=report.coverage._asdict(),
        conflicts=[conflict.path for conflict in report.conflicts],
        at=at,
        code=code.name,
        reason=refusal.reason if refusal is not None else "",
        degraded=list(report.degraded.names()),
        complete=report.complete,
    )


def named_row(branch: str, key: str, item: int | None) -> str:
    """`branch`, or `branch[key]` for an item of its list."""
    return branch if item is None else f"{branch}[{key}]"


def fate(state: str, reason: str) -> str:
    """STATE/REASON, or STATE without one."""
    return state if reason == "NONE" else f"{state}/{reason}"


def check(case: Case, seen: Seen, tick: int) -> None:
    """Hold what was seen against what the case expects; what it does not mention has its ordinary value."""
    expect = dict(case.expect)
    code = expect.pop("code", "OK")
    assert seen.by == expect.pop("by"), seen
    assert seen.fates == expect.pop("branches")
    if code == "OK" or seen.code is None:
        assert seen.value == expect.pop("value", seen.value if code != "OK" else None)
    if seen.at is not None:
        assert seen.at == round(expect["at"] * tick)
    expect.pop("at")
    for counter, count in expect.pop("coverage", {}).items():
        assert (counter, seen.coverage[counter]) == (counter, count)
    assert seen.conflicts == expect.pop("conflicts", [])
    answered = [branch for branch, how in seen.fates.items() if how.startswith(("SUCCEEDED", "DEFAULTED", "FELL_BACK"))]
    assert seen.merged == expect.pop("merged", answered if code == "OK" else [])
    degraded, reason = expect.pop("degraded", []), expect.pop("reason", "")
    expect.pop("value", None)
    if seen.code is not None:
        assert (seen.code, seen.reason) == (code, reason)
        assert seen.degraded is not None
        assert sorted(seen.degraded) == sorted(degraded)
        assert seen.complete is (code == "OK" and not degraded)
    assert not expect, f"the case expects what nobody checks: {expect}"
