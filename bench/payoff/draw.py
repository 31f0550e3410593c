"""The figures of the payoff bench as pictures: the tail with and without hedges, the tail of wide requests, the rest."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.kit.results import DRAWN, read
from bench.payoff.measuring import CURVE

COLOURS = {
    "none": "#777777",
    "direct": "#bbbbbb",
    "hedge-python": "#c8553d",
    "standard": "#5b8e7d",
    "hedged": "#1b6ca8",
    "hedged at p90": "#5fa8dd",
    "eager": "#1b6ca8",
    "coverage 0.95": "#8d6a9f",
}
OTHERS = {
    "slow_replica": "one of four replicas ten times as slow",
    "all_slow": "everything turns ten times as slow",
    "foreign_faults": "Envoy: 20 % delayed, 10 % aborted",
}


def save(fig: Any, name: str) -> None:
    """Write docs/bench/<name>.svg; the same figures, the same file."""
    fig.tight_layout()
    fig.savefig(DRAWN / f"{name}.svg", metadata={"Date": None})
    plt.close(fig)


def tail(found: dict[str, Any]) -> None:
    """Share of requests that take longer than a time."""
    fig, axes = plt.subplots(figsize=(7, 4))
    for name, one in found.items():
        points = [(ms, 1 - at) for ms, at in zip(one["curve_ms"], CURVE, strict=True) if at < 1]
        label = f"{name}, {one['calls_per_request'] - 1:+.1%} calls"
        axes.step(*zip(*points, strict=True), where="post", label=label, color=COLOURS[name])
    axes.axhline(0.01, color="black", linewidth=0.6, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("ms at the caller; 5 % of calls take ten times as long")
    axes.set_ylabel("share of requests that take longer")
    axes.legend(fontsize=8, frameon=False)
    save(fig, "payoff-stragglers")


def fan(found: dict[str, Any]) -> None:
    """p99 by width."""
    fig, axes = plt.subplots(figsize=(7, 4))
    names = dict.fromkeys(key.rpartition(", ")[0] for key in found)
    for name in names:
        points = [(int(key.rpartition(", ")[2]), one["p99_ms"]) for key, one in found.items() if key.startswith(f"{name}, ")]
        axes.plot(*zip(*points, strict=True), label=name, color=COLOURS[name], marker="o", markersize=4)
    axes.set_xscale("log")
    axes.set_xticks(ticks := sorted({int(key.rpartition(", ")[2]) for key in found}), [str(width) for width in ticks])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("calls a request waits for; 1 % of calls take ten times as long")
    axes.set_ylabel("p99 of requests, ms")
    axes.legend(fontsize=8, frameon=False)
    save(fig, "payoff-fan-out")


def _bars(axes: Axes, found: dict[str, Any], title: str) -> None:
    names = list(found)
    for at, (label, key) in enumerate((("p50", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms"))):
        for turn, name in enumerate(names):
            height = found[name][key]
            axes.bar(at + 0.8 * turn / len(names), height, 0.75 / len(names), color=COLOURS[name], label=None if at else name)
            axes.annotate(f"{height:.0f}", (at + 0.8 * turn / len(names), height), ha="center", va="bottom", fontsize=7)
        axes.annotate(label, (at, 0), textcoords="offset points", xytext=(0, -12), fontsize=8, annotation_clip=False)
    axes.set_xticks([])
    axes.set_title(title, fontsize=9)
    texts = [f"{name}: {found[name]['ok']:.1%} ok, {found[name]['calls_per_request']:.2f} calls" for name in names]
    axes.set_ylim(top=1.3 * max((one["p99_ms"] for one in found.values()), default=1.0))  # room for the legend
    axes.legend(axes.get_legend_handles_labels()[0], texts, fontsize=7, frameon=False, loc="upper left")
    axes.set_ylabel("ms")


def others(figures: dict[str, Any]) -> None:
    """Quantiles of the scenarios whose variants are few."""
    fig, panels = plt.subplots(1, len(OTHERS), figsize=(12, 4))
    for axes, (name, title) in zip(panels, OTHERS.items(), strict=True):
        _bars(axes, figures.get(name) or {}, title)
    save(fig, "payoff-scenarios")


def draw(scenarios: dict[str, Any]) -> None:
    """Write the pictures."""
    mpl.rcParams["svg.hashsalt"] = "fanmesh"
    mpl.rcParams["svg.fonttype"] = "none"
    if found := scenarios.get("stragglers"):
        tail(found)
    if found := scenarios.get("tail_at_scale"):
        fan(found)
    others(scenarios)


if __name__ == "__main__":
    draw(read("payoff")["scenarios"])
