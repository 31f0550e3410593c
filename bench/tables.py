"""The figures that were kept last as Markdown: docs/bench/figures.md, beside the prose that explains them.

python -m bench.tables
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.kit.results import DRAWN, machine_of, read
from bench.payoff import told

SHOWN = ("no policies", "all policies", "all policies, traced", "remote", "remote, traced")


def lines() -> Iterator[str]:
    """The file, line by line."""
    machine, fanout, micro = machine_of("fanout"), read("fanout"), read("micro")
    libraries = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield "# Figures"
    yield ""
    yield f"Written by `make bench`. {machine['system']}, {machine['cpus']} CPUs, Python {machine['python']}, {libraries}."
    yield ""
    yield "CPU per request of the dispatcher process; ratios to the bare gather of the same round, median (least–greatest)."
    yield ""
    yield f"| branches | gather, ms | {' | '.join(SHOWN)} | aggregator process, ms |"
    yield "|" + "---|" * (len(SHOWN) + 3)
    for width, found in fanout.items():
        ratios = [f"{found[n]['ratio']:.2f} ({found[n]['ratio_min']:.2f}–{found[n]['ratio_max']:.2f})" for n in SHOWN]
        row = (width, f"{found['floor']['cpu_ms']:.2f}", *ratios, f"{found['remote']['aggregator_cpu_ms']:.2f}")
        yield f"| {' | '.join(row)} |"
    yield ""
    yield "Requests per second, and median / 99th percentile in ms; 160 calls in flight, at most 32 requests."
    yield ""
    yield f"| branches | gather | {' | '.join(SHOWN)} |"
    yield "|" + "---|" * (len(SHOWN) + 2)
    for width, found in fanout.items():
        rates = [f"{found[n]['per_s']:.0f}/s, {found[n]['p50_ms']:.0f} / {found[n]['p99_ms']:.0f}" for n in ("floor", *SHOWN)]
        yield f"| {width} | {' | '.join(rates)} |"
    yield ""
    yield "µs per branch, by number of branches; in one column where the cost is per call or per request. `× collect`: times"
    yield "what copying the same answers costs; `at verdict`: what is left when each answer was worked on as it came."
    yield ""
    yield "| | 1 | 5 | 10 | 50 |"
    yield "|---|---|---|---|---|"
    for name, by_width in micro.items():
        costs = [f"{by_width[width]:.1f}" if width in by_width else "" for width in ("1", "5", "10", "50")]
        yield f"| {name} | {' | '.join(costs)} |"
    yield from told.lines()


def main() -> None:
    """Write the file."""
    (DRAWN / "figures.md").write_text("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
