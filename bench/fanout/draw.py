"""The figures of the fan-out benches as pictures: CPU per request by width, against the bare gather, and against Go."""

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
BESIDE_GO = {
    "grpcio: all": ("#c8553d", "-"),
    "grpcio: gather": ("#c8553d", ":"),
    "fast: all": ("#1b6ca8", "-"),
    "fast: none": ("#1b6ca8", "--"),
    "fast: gather": ("#1b6ca8", ":"),
    "Java: futures": ("#8d6a9f", "-."),
    "Node: Promise.all": ("#6a994e", "-."),
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


def draw_beside_go(figures: dict[str, Any]) -> None:
    """Write docs/bench/transports.svg, without the languages that were not there; nothing where there was no Go."""
    widths = list(figures)
    if any("to_go" not in one for found in figures.values() for one in found.values()):
        return
    mpl.rcParams["svg.hashsalt"] = "fanmesh"
    mpl.rcParams["svg.fonttype"] = "none"
    fig, axes = plt.subplots(figsize=(7, 4))
    measured = {name: style for name, style in BESIDE_GO.items() if all(name in found for found in figures.values())}
    for name, (colour, line) in measured.items():
        found = [figures[width][name] for width in widths]
        middle = [one["to_go"] for one in found]
        spread = [[one["to_go"] - one["to_go_min"] for one in found], [one["to_go_max"] - one["to_go"] for one in found]]
        axes.errorbar(range(len(widths)), middle, yerr=spread, label=name, color=colour, linestyle=line, marker="o", capsize=3)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.annotate("Go, errgroup", (0, 1.0), textcoords="offset points", xytext=(-20, 4), fontsize=8)
    axes.set_yscale("log", base=2)
    axes.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    axes.set_xticks(range(len(widths)), widths)
    axes.set_xlabel("branches")
    axes.set_ylabel("CPU per request of the dispatcher, ratio to Go")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    fig.tight_layout()
    fig.savefig(DRAWN / "transports.svg", metadata={"Date": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(read("fanout"))
    draw_beside_go(read("fanout-transports")["workers"]["fast"])
