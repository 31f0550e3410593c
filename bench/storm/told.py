"""The figures of the storm bench as a table, for people and for docs/bench/storm.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.kit.results import DRAWN
from bench.storm.scenarios import STORMS

PAGE = DRAWN / "storm.md"
BEGIN, END = "<!-- figures: written by bench.storm.run -->", "<!-- end -->"


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Markdown."""
    yield "| storm | layers | requests in it | attempts a request | worst second | answered in it | back after |"
    yield "|---|---|---|---|---|---|---|"
    for name, variants in figures.items():
        for variant, one in variants.items():
            back = "–" if STORMS[name].at_once else "never" if one["recovery_s"] is None else f"{one['recovery_s']} s"
            counts = f"{one['requests']} | {one['attempts_per_request']:.2f} | {one['peak_per_s']}"
            yield f"| {name} | {variant} | {counts} | {one['answered']:.1%} | {back} |"


def insert(figures: dict[str, Any], page: Path = PAGE) -> None:
    """Put the table where it stands in the page."""
    text = page.read_text()
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(head + "\n".join([BEGIN, *lines(figures), ""]) + tail)
