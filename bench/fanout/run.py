"""What a request costs the dispatcher, against a bare gather over the same worker.

    python -m bench.fanout.run [--rounds 3] [--seconds 2] [--only 5,50]

For each width the floor and the subjects run side by side, and every round measures each of them once: on a shared machine a
figure is only worth something beside one taken a few seconds before. A ratio is that of one round; reported is the median.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.fanout.draw import draw
from bench.kit.collector import collector
from bench.kit.processes import Process
from bench.kit.results import write

WIDTHS = (1, 5, 10, 50)
FLOOR = "floor"


FELL_BACK = "merged here instead of in the aggregator"  # as the dispatcher logs it


def in_flight(width: int) -> int:
    """Requests at a time: 32, but no more than 160 calls, or a queue of seconds would be measured instead of a fan-out."""
    return min(32, max(4, 160 // width))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is put under load. `merger`: the aggregator's process, if it has one of its own."""

    name: str
    process: Process
    traced: bool = False
    merger: Process | None = None


def subjects(width: int, worker: Process, endpoint: str, stack: ExitStack) -> list[Subject]:
    """The floor and ways to run the dispatcher. Unsampled requests go to processes that could export, too.

    The worker and the load stay on grpc.aio: what is measured is the dispatcher, which serves and calls over its transport.
    """
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    fast = {**env, "FANMESH_TRANSPORT": "fast"}
    fast_floor = stack.enter_context(Process("bench.fanout.fast_floor", worker.said, width))
    fast_plain = stack.enter_context(Process("bench.fanout.subject", worker.said, width, "embedded", "none", env=fast))
    fast_all = stack.enter_context(Process("bench.fanout.subject", worker.said, width, "embedded", "all", env=fast))
    merger = stack.enter_context(Process("bench.fanout.merger", env=env))
    floor = stack.enter_context(Process("bench.fanout.floor", worker.said, width))
    plain = stack.enter_context(Process("bench.fanout.subject", worker.said, width, "embedded", "none", env=env))
    everything = stack.enter_context(Process("bench.fanout.subject", worker.said, width, "embedded", "all", env=env))
    remote = stack.enter_context(Process("bench.fanout.subject", worker.said, width, merger.said, "all", env=env))
    return [
        Subject(FLOOR, floor),
        Subject("no policies", plain),
        Subject("all policies", everything),
        Subject("all policies, traced", everything, traced=True),
        Subject("remote", remote, merger=merger),
        Subject("remote, traced", remote, traced=True, merger=merger),
        Subject("fast: floor", fast_floor),
        Subject("fast: no policies", fast_plain),
        Subject("fast: all policies", fast_all),
        Subject("fast: traced", fast_all, traced=True),
    ]


def measure(subject: Subject, seconds: float, at_once: int, warm_up: float = 1.0) -> dict[str, float]:
    """One round of one subject."""
    with Process("bench.fanout.load", subject.process.said, "bench", seconds, int(subject.traced), at_once, warm_up) as load:
        merger = subject.merger
        fallbacks0 = subject.process.log().count(FELL_BACK)
        dispatcher0, merger0 = subject.process.cpu(), merger.cpu() if merger else 0.0
        load.tell("go")
        told = json.loads(load.line())
        dispatcher = subject.process.cpu() - dispatcher0
        merging = merger.cpu() - merger0 if merger else 0.0
    if told["failures"]:
        raise RuntimeError(f"{subject.name}: {told['failures']} of {told['requests']} requests failed")
    return {
        "cpu_ms": 1e3 * dispatcher / told["requests"],
        "aggregator_cpu_ms": 1e3 * merging / told["requests"],
        "fell_back": (subject.process.log().count(FELL_BACK) - fallbacks0) / told["requests"],
        "per_s": told["requests"] / told["seconds"],
        "p50_ms": told["p50_ms"],
        "p99_ms": told["p99_ms"],
    }


def rounds(width: int, count: int, seconds: float, endpoint: str) -> Iterator[dict[str, dict[str, float]]]:
    """Measure every subject of one width, `count` times in turn."""
    with ExitStack() as stack:
        worker = stack.enter_context(Process("bench.fanout.worker"))
        running = subjects(width, worker, endpoint, stack)
        for _ in range(count):
            yield {subject.name: measure(subject, seconds, in_flight(width)) for subject in running}


def medians(seen: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Each figure's median; `ratio` is to the floor of the same round, with the least and the greatest beside it."""
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for name in seen[0]:
        for figure in seen[0][name]:
            out[name][figure] = round(statistics.median(one[name][figure] for one in seen), 4)
        ratios = [one[name]["cpu_ms"] / one[FLOOR]["cpu_ms"] for one in seen]
        for key, value in (("ratio", statistics.median(ratios)), ("ratio_min", min(ratios)), ("ratio_max", max(ratios))):
            out[name][key] = round(value, 3)
    return out


def main() -> None:
    """Run, print as it goes, keep the figures, draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", default="", help="widths, separated by commas; then nothing is kept")
    asked = parser.parse_args()
    widths = [int(width) for width in asked.only.split(",")] if asked.only else WIDTHS
    figures: dict[str, Any] = {}
    head = f"{'N':>3} {'':20} {'CPU ms':>8} {'ratio':>6} {'(min–max)':>12} {'aggr. ms':>9}"
    print(f"{head} {'fell back':>9} {'per s':>6} {'p50':>6} {'p99 ms':>7}")
    with collector() as endpoint:
        for width in widths:
            found = medians(list(rounds(width, asked.rounds, asked.seconds, endpoint)))
            figures[str(width)] = found
            for name, one in found.items():
                spread = f"({one['ratio_min']:.2f}–{one['ratio_max']:.2f})"
                print(
                    f"{width:3} {name:20} {one['cpu_ms']:8.3f} {one['ratio']:6.2f} {spread:>12} "
                    f"{one['aggregator_cpu_ms']:9.3f} {one['fell_back']:9.1%} {one['per_s']:6.0f} "
                    f"{one['p50_ms']:6.1f} {one['p99_ms']:7.1f}",
                    flush=True,
                )
    if not asked.only:
        write("fanout", figures)
        draw(figures)


if __name__ == "__main__":
    main()
