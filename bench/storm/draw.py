"""The figures of the storm bench as a picture: what reaches the leaf, and what comes back, second by second."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.kit.results import DRAWN, read
from bench.storm.scenarios import RATE, STORMS, Storm

COLOURS = {"naive": "#c8553d", "budgets only": "#bbbbbb", "budgets, pushback": "#5b8e7d", "Fanmesh": "#1b6ca8"}
SHOWN = ("down", "overloaded")


def draw(figures: dict[str, Any]) -> None:
    """Write docs/bench/storm.svg; the same figures, the same file."""
    mpl.rcParams["svg.hashsalt"] = "fanmesh"
    mpl.rcParams["svg.fonttype"] = "none"
    fig, panels = plt.subplots(2, len(SHOWN), figsize=(11, 6), sharex=True)
    for column, name in enumerate(SHOWN):
        storm, found = STORMS[name], figures[name]
        attempts, answers = panels[0][column], panels[1][column]
        for variant, one in found.items():
            attempts.step(range(storm.until), [max(seen, 0.5) for seen in one["seen"]], where="post", color=COLOURS[variant])
            answers.step(range(storm.until), one["good"], where="post", color=COLOURS[variant], label=variant)
        attempts.axhline(RATE, color="black", linewidth=0.6, linestyle="--")
        attempts.set_yscale("log")
        attempts.set_title(storm.about, fontsize=9)
        answers.set_xlabel("s")
        for axes in (attempts, answers):
            _shade(axes, storm)
    panels[0][0].set_ylabel(f"attempts at the leaf each second\n(dashed: {RATE} callers)")
    panels[1][0].set_ylabel("share answered, by arrival")
    panels[1][0].legend(fontsize=8, frameon=False, loc="center right")
    fig.tight_layout()
    fig.savefig(DRAWN / "storm.svg", metadata={"Date": None})
    plt.close(fig)


def _shade(axes: Axes, storm: Storm) -> None:
    axes.axvspan(storm.begins, storm.ends, color="#f3e9dc", linewidth=0)


if __name__ == "__main__":
    draw(read("storm"))
