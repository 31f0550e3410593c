"""The micro-benches, one after the other: µs per branch, or per call (per merge) where there is no branch.

python -m bench.micro.run
"""

from __future__ import annotations

from bench.kit.results import write
from bench.micro import expressions, flow, fold, leaf, merges, policies, report
from fanmesh.runtime import heap, logs


def main() -> None:
    """Run them all, print as it goes, keep the figures."""
    logs.configure()
    heap.settle()
    found: dict[str, dict[str, float]] = {}
    print(f"{'µs':36} {'at N':>6}")
    for bench in (flow, policies, fold, merges, report, leaf, expressions):
        for name, by_width in bench.figures().items():
            found[name] = {width: round(value, 2) for width, value in by_width.items()}
            print(f"{name:36} " + "  ".join(f"{width:>3}: {value:7.2f}" for width, value in found[name].items()), flush=True)
    write("micro", found)


if __name__ == "__main__":
    main()
