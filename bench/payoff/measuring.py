"""Run the variants of a scenario side by side, each with replicas and a dispatcher of its own, and count at the replicas.

Side by side, because on a shared machine a figure is only worth something beside one taken at the same time. Each variant is
asked the same at the same instants, moved by a few ms so that they do not want the processors at once.
"""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.kit.processes import Process
from bench.payoff import configs
from bench.payoff.draws import Shape
from bench.payoff.envoy import faulty

REPLICAS = 4
BUSY = 0.6
"""With more of the processors taken, a tail says who else was at work. The scenarios themselves take a quarter of two."""
CURVE = (
    *(n / 100 for n in range(0, 90, 2)),
    *(n / 1000 for n in range(900, 990, 5)),
    0.99,
    0.992,
    0.994,
    0.996,
    0.998,
    0.999,
    1.0,
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to get an answer: through a dispatcher under `policy`, or without one (`kind`)."""

    name: str
    policy: str | None = None
    kind: str = "dispatch"
    plan: str = "latency"

    @property
    def possible(self) -> bool:
        """Whether this version can do it."""
        return self.policy is None or self.policy == "none" or configs.known(self.policy)


NONE, STANDARD, HEDGED = Variant("none", "none"), Variant("standard", "standard"), Variant("hedged", "hedged")
DIRECT, RIVAL = Variant("direct", kind="direct"), Variant("hedge-python", kind="hedge-python")


@dataclass(frozen=True, slots=True)
class Setting:
    """What every variant is put through. `rate` per second; `before` the warm-up and `after` it the replicas are told so."""

    seed: str
    rate: float
    warm: float
    seconds: float
    shape: Shape
    paced: bool = False
    plans: dict[str, Any] = field(default_factory=lambda: configs.PLAIN)
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    envoy: bool = False


class Running(NamedTuple):
    """The processes of one variant."""

    pool: Process
    load: Process


def progress(text: str) -> None:
    """To people who wait."""
    print(text, file=sys.stderr, flush=True)


def processors() -> tuple[int, int]:
    """Ticks that all processors have worked, and have had, since the machine began."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # without idle, and without waiting for disks


def ask(process: Process, line: str) -> Any:
    """A line to a pool of replicas, and what it says to it."""
    process.tell(line)
    return json.loads(process.line())


def quantile(ordered: list[float], at: float) -> float:
    """Nearest rank of what is sorted; 0 if there is nothing."""
    return ordered[min(len(ordered) - 1, int(at * len(ordered)))] if ordered else 0.0


def begin(variant: Variant, setting: Setting, folder: Path, stack: ExitStack) -> Running:
    """`start`, and what it started is ended with `stack`, also if it fails half-way."""
    with ExitStack() as own:
        running = start(variant, setting, folder, own)
        stack.enter_context(own.pop_all())
        return running


def start(variant: Variant, setting: Setting, folder: Path, stack: ExitStack) -> Running:
    """Replicas, a dispatcher if it needs one, and the load, which begins to warm up."""
    pool = stack.enter_context(Process("bench.payoff.worker", REPLICAS, json.dumps(asdict(setting.shape))))
    ports: list[int] = json.loads(pool.said)
    if setting.before is not None:
        ask(pool, f"set {json.dumps(setting.before)}")
    if setting.envoy:
        front: AbstractContextManager[list[int]] = faulty(ports)
        ports = stack.enter_context(front)
    if variant.policy is not None:
        file = configs.write(folder, variant.policy, ports, setting.plans)
        ports = [int(stack.enter_context(Process("bench.payoff.dispatcher", file)).said)]
    asked = {"kind": variant.kind, "ports": ports, "plan": variant.plan, "seed": setting.seed, "rate": setting.rate}
    timing = {"warm": setting.warm, "seconds": setting.seconds, "paced": setting.paced}
    return Running(pool, stack.enter_context(Process("bench.payoff.load", json.dumps(asked | timing))))


BROKEN = {"INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "INVALID_ARGUMENT", "FAILED_PRECONDITION"}
"""No replica here ends a call so: a figure of such requests would be about a mistake, and could even be a good one."""


def figures(told: dict[str, Any], before: dict[str, list[int]], after: dict[str, list[int]]) -> dict[str, Any]:
    """What is kept of a variant: latencies at the caller in ms, calls as the replicas counted them."""
    seen, reported = sorted(told["latencies"]), sorted(told["reported"])
    if broken := BROKEN & told["codes"].keys():
        raise RuntimeError(f"requests ended {', '.join(broken)}: {told['why']}")
    calls = [last - first for first, last in zip(before["calls"], after["calls"], strict=True)]
    if not sum(calls):
        raise RuntimeError(f"no call reached a replica: {told['why']}")
    return {
        "requests": len(seen),
        **{f"p{name}_ms": round(quantile(seen, at), 2) for name, at in (("50", 0.5), ("90", 0.9), ("95", 0.95), ("99", 0.99))},
        "max_ms": seen[-1],
        "reported_p99_ms": round(quantile(reported, 0.99), 2) if reported else None,
        "ok": told["codes"].get("OK", 0) / len(seen),
        "codes": told["codes"],
        "calls": sum(calls),
        "calls_per_request": round(sum(calls) / len(seen), 4),
        "calls_by_replica": calls,
        "cancels": sum(after["cancels"]) - sum(before["cancels"]),
        "attempts": told["kinds"],
        "decisions": told["decisions"],
        "coverage": round(told["coverage"], 4),
        "curve_ms": [round(quantile(seen, at), 2) for at in CURVE],
    }


def measure(variants: list[Variant], setting: Setting) -> dict[str, dict[str, Any]]:
    """Figures by variant; those that this version cannot do are left out."""
    possible = [variant for variant in variants if variant.possible]
    for variant in variants:
        if variant not in possible:
            progress(f"    {variant.name}: this version has no such policy")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        # A process takes a second to begin. The threads stay until all has ended: Envoy ends with the thread that started it.
        threads = stack.enter_context(ThreadPoolExecutor())
        started = threads.map(lambda variant: begin(variant, setting, Path(scratch), stack), possible)
        running = {variant.name: one for variant, one in zip(possible, started, strict=True)}
        for one in running.values():
            if (said := one.load.line()) != "go":
                raise RuntimeError(said)
        before, (worked, had) = {name: ask(one.pool, "counts") for name, one in running.items()}, processors()
        for turn, one in enumerate(running.values()):
            if setting.after is not None:
                ask(one.pool, f"set {json.dumps(setting.after)}")
            one.load.tell(str(1e3 * turn / setting.rate / len(running)))
        told = {name: json.loads(one.load.line()) for name, one in running.items()}
        busy = (processors()[0] - worked) / (processors()[1] - had)
        found = {name: figures(told[name], before[name], ask(one.pool, "counts")) for name, one in running.items()}
    if busy > BUSY:
        progress(f"    the processors were {busy:.0%} busy: these figures are about this machine")
    for name, own in found.items():
        own["busy"] = round(busy, 3)
        progress(
            f"    {name:20} {own['requests']:5} requests, {own['ok']:7.2%} ok, "
            f"p50 {own['p50_ms']:6.1f} p90 {own['p90_ms']:6.1f} p99 {own['p99_ms']:6.1f} ms, "
            f"{own['calls_per_request']:.3f} calls a request, {own['cancels']} cancelled"
        )
    return found
