"""What a request costs the dispatcher over each transport, beside the same fan-out by hand: in grpc.aio, Go, Java and Node.

    python -m bench.fanout.transports [--rounds 3] [--seconds 1.0] [--only 5]

As in bench.fanout.run every round measures every subject once, one after the other, and a ratio is that of one round; reported
is the median. Here the subjects are those that tell a transport from an engine, and the ratios are two: to the bare gather of
grpc.aio and to Go. About twenty minutes. A language whose tools are not on the machine is left out.

Java and Node compile what is hot while they run. A JVM has served some 40,000 requests and has spent 13 s of CPU before its
compiler rests; until then a request costs twice to fifty times what it costs in the end. So each of their processes is put
under load before the first round until it gets no cheaper, for half a minute or a whole one; that is in no figure.

The workers serve over the fast transport, and at one width over grpc.aio, too: that needs a third of a millisecond for a call,
so its answers come one by one, and who reads them pays for reads and wake-ups that it had not to pay for otherwise. At the end,
one request at a time: how long it takes, and not what it costs.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from bench.fanout.draw import draw_beside_go
from bench.fanout.foreign import GO, Command, Foreign, built
from bench.fanout.run import WIDTHS, Subject, in_flight, measure
from bench.kit.collector import collector
from bench.kit.processes import Process
from bench.kit.results import write

BASES: Final = {"to_grpcio": "grpcio: gather", "to_go": GO.name}
FLOORS: Final = {"grpcio": "bench.fanout.floor", "fast": "bench.fanout.fast_floor"}
WORKERS: Final = {"grpcio": "bench.fanout.worker", "fast": "bench.fanout.fast_worker"}
POLICIES: Final = ("none", "standard", "all")
CLOSELY: Final = 5
"""The width of the goals: traced, too, and with a slow worker, too."""

ALONE: Final = (1, CLOSELY)
"""Widths at which one request at a time is measured."""

WARM_UP: Final = 0.5
"""Seconds; the processes live through all rounds, only their connections are new."""

SETTLING: Final = 4.0
"""Seconds of a look at a process whose compiler is at work."""

LOOKS: Final = 3
"""So many in a row must agree that it is done: on a busy machine it may stand still for a while."""

CHEAPER: Final = 0.95
"""Of the least cost so far; what is above that may be chance."""

Figures = dict[str, dict[str, float]]
Others = Mapping[Foreign, Command]


def settle(subject: Subject, at_once: int) -> None:
    """Load until its compiler has done what it will do: until some looks in a row find it no cheaper than one before."""
    least, idle = math.inf, 0
    while idle < LOOKS:
        cost = measure(subject, SETTLING, at_once, WARM_UP)["cpu_ms"]
        idle = 0 if cost < CHEAPER * least else idle + 1
        least = min(least, cost)


def floors(width: int, worker: Process, others: Others, stack: ExitStack) -> Iterator[Subject]:
    """The same fan-out by hand, in Python and in other languages, each as warm as it has to be."""
    for name, module in FLOORS.items():
        yield Subject(f"{name}: gather", stack.enter_context(Process(module, worker.said, width)))
    for one, command in others.items():
        subject = Subject(one.name, stack.enter_context(Process(*command, worker.said, width)))
        if one.jit:
            settle(subject, in_flight(width))
        yield subject


def dispatchers(width: int, worker: Process, endpoint: str, stack: ExitStack) -> Iterator[Subject]:
    """Fanmesh over each transport, with more and more policies; at one width, every request traced besides."""
    for transport in FLOORS:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "FANMESH_TRANSPORT": transport}
        for policies in POLICIES:
            process = stack.enter_context(Process("bench.fanout.subject", worker.said, width, "embedded", policies, env=env))
            yield Subject(f"{transport}: {policies}", process)
            if policies == "all" and width == CLOSELY:
                yield Subject(f"{transport}: all, traced", process, traced=True)


def loaded(width: int, rounds: int, seconds: float, worker: str, endpoint: str, others: Others) -> list[Figures]:
    """Every subject of one width, `rounds` times in turn."""
    with ExitStack() as stack:
        far = stack.enter_context(Process(WORKERS[worker]))
        running = [*floors(width, far, others, stack), *dispatchers(width, far, endpoint, stack)]
        return [{one.name: measure(one, seconds, in_flight(width), WARM_UP) for one in running} for _ in range(rounds)]


def alone(width: int, rounds: int, seconds: float, endpoint: str, others: Others) -> Figures:
    """Milliseconds of one request when no other is there: the median of the rounds' medians, and the least of them."""
    with ExitStack() as stack:
        far = stack.enter_context(Process(WORKERS["fast"]))
        engines = [one for one in dispatchers(width, far, endpoint, stack) if one.name.endswith(": all")]
        running = [*floors(width, far, others, stack), *engines]
        seen = [{one.name: measure(one, seconds, 1, WARM_UP)["p50_ms"] for one in running} for _ in range(rounds)]
    p50s = {name: [one[name] for one in seen] for name in seen[0]}
    return {
        name: {"p50_ms": round(statistics.median(found), 3), "p50_ms_min": round(min(found), 3)} for name, found in p50s.items()
    }


def summed(seen: list[Figures]) -> Figures:
    """CPU per request: median and spread, and the ratios to each base."""
    out: Figures = {}
    for name in seen[0]:
        costs = [one[name]["cpu_ms"] for one in seen]
        found = {"cpu_ms": statistics.median(costs), "cpu_ms_min": min(costs), "cpu_ms_max": max(costs)}
        found["per_s"] = statistics.median(one[name]["per_s"] for one in seen)
        for key, base in BASES.items():
            if base in seen[0]:
                ratios = [one[name]["cpu_ms"] / one[base]["cpu_ms"] for one in seen]
                found |= {key: statistics.median(ratios), f"{key}_min": min(ratios), f"{key}_max": max(ratios)}
        out[name] = {figure: round(value, 4) for figure, value in found.items()}
    return out


def show(width: int, figures: Figures) -> None:
    """A line each."""
    for name, one in figures.items():
        ratios = [
            f"{one[key]:6.2f} ({one[f'{key}_min']:.2f}–{one[f'{key}_max']:.2f})" if key in one else f"{'':>18}" for key in BASES
        ]
        cpu = f"{one['cpu_ms']:7.3f} ({one['cpu_ms_min']:.3f}–{one['cpu_ms_max']:.3f})"
        print(f"{width:3} {name:20} {cpu:>24} {'  '.join(ratios)} {one['per_s']:7.0f}", flush=True)


def main() -> None:
    """Run, print as it goes, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="", help="widths, separated by commas; then nothing is kept")
    asked = parser.parse_args()
    widths = [int(width) for width in asked.only.split(",")] if asked.only else WIDTHS
    others, seen, single = built(), dict[str, dict[str, Figures]](), dict[str, Figures]()
    print(f"{'N':>3} {'':20} {'CPU ms (min–max)':>24} {'to grpc.aio':>18}  {'to Go':>18} {'per s':>7}")
    with collector() as endpoint:
        for worker in ("fast", "grpcio"):
            seen[worker] = {}
            for width in widths if worker == "fast" else {CLOSELY}.intersection(widths):
                print(f"workers on {worker}:")
                found = summed(loaded(width, asked.rounds, asked.seconds, worker, endpoint, others))
                seen[worker][str(width)] = found
                show(width, found)
        for width in ALONE:
            if width in widths:
                single[str(width)] = alone(width, asked.rounds + 1, asked.seconds, endpoint, others)
                for name, one in single[str(width)].items():
                    print(f"{width:3} {name:20} alone: p50 {one['p50_ms']:.3f} ms, least {one['p50_ms_min']:.3f}", flush=True)
    if not asked.only:
        write("fanout-transports", {"workers": seen, "alone": single})
        draw_beside_go(seen["fast"])


if __name__ == "__main__":
    main()
