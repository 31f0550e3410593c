"""The figures of the fan-out bench as one picture: CPU per request against the bare gather, by width."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.kit.results import DRAWN, read

TARGETS = {"all policies": 1.15, "all policies, traced": 1.5}
STYLES = {
    "no policies": ("#6a994e", "-"),
    "all policies": ("#1b6ca8", "-"),
    "all policies, traced": ("#1b6ca8", ":"),
    "remote": ("#c8553d", "-"),
    "remote, traced": ("#c8553d", ":"),
}


def draw(figures: dict[str, Any]) -> None:
    """Write docs/bench/fanout.svg."""
    mpl.rcParams["svg.hashsalt"] = "fanmesh"  # the same figures, the same file
    mpl.rcParams["svg.fonttype"] = "none"
    widths = [int(width) for width in figures]
    at = range(len(widths))
    fig, axes = plt.subplots(figsize=(7, 4))
    for name, (colour, line) in STYLES.items():
        found = [figures[str(width)][name] for width in widths]
        middle = [one["ratio"] for one in found]
        spread = [[one["ratio"] - one["ratio_min"] for one in found], [one["ratio_max"] - one["ratio"] for one in found]]
        axes.errorbar(at, middle, yerr=spread, label=name, color=colour, linestyle=line, marker="o", markersize=4, capsize=3)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.annotate("bare asyncio.gather", (0, 1.0), textcoords="offset points", xytext=(0, 4), fontsize=8)
    for name, target in TARGETS.items():
        axes.axhline(target, color="grey", linewidth=0.8, linestyle="--")
        axes.annotate(f"target: {name}", (len(widths) - 1, target), textcoords="offset points", xytext=(-90, 3), fontsize=7)
    axes.set_xticks(at, [str(width) for width in widths])
    axes.set_xlabel("branches")
    axes.set_ylabel("CPU per request of the dispatcher, ratio")
    axes.set_ylim(bottom=0.9)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    fig.tight_layout()
    fig.savefig(DRAWN / "fanout.svg", metadata={"Date": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(read("fanout"))
