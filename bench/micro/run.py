"""The micro-benches, one after the other: µs per branch, or per call where there is no branch.

python -m bench.micro.run [flow] [lists] [policies] [fold] [merges] [report] [leaf] [expressions]

With names only those are run; the figures of the others stay as they were kept.
"""

from __future__ import annotations

import sys

from bench.kit.results import read, write
from bench.micro import expressions, flow, fold, leaf, lists, merges, policies, report
from fanmesh.runtime import heap, logs

BENCHES = {
    module.__name__.rpartition(".")[2]: module for module in (flow, lists, policies, fold, merges, report, leaf, expressions)
}


def main(*names: str) -> None:
    """Run these, or all of them, print as it goes, keep the figures."""
    if unknown := set(names) - set(BENCHES):
        raise SystemExit(f"no micro-bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    logs.configure()
    heap.settle()
    found: dict[str, dict[str, float]] = read("micro") if names else {}
    print(f"{'µs':36} {'at N':>6}")
    for bench in names or BENCHES:
        for name, by_width in BENCHES[bench].figures().items():
            found[name] = {width: round(value, 2) for width, value in by_width.items()}
            print(f"{name:36} " + "  ".join(f"{width:>3}: {value:7.2f}" for width, value in found[name].items()), flush=True)
    write("micro", found)


if __name__ == "__main__":
    main(*sys.argv[1:])
