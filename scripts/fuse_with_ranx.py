"""Writes tests/unit/aggregator/ranx.json: lists of hits, and what ranx makes of them, to check `rrf` and `top_k` against.

ranx brings 18 packages, 340 MB and a minute of compilation, for numbers that never change; so it is asked once, in an
environment of its own, and the answers are kept:

    python -m venv /tmp/ranx && /tmp/ranx/bin/pip install ranx==0.3.21 && /tmp/ranx/bin/python scripts/fuse_with_ranx.py
"""

from __future__ import annotations

import json
import random
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from ranx import Run, fuse

TARGET: Final = Path(__file__).resolve().parents[1] / "tests" / "unit" / "aggregator" / "ranx.json"
BRANCHES: Final = ("a", "b", "c")
QUERIES: Final = 12
WEIGHTS: Final = (1.0, 0.5, 2.0)

FUSIONS: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    ("rrf", {}, {"norm": None, "method": "rrf", "params": {"k": 60}}),
    ("rrf", {"k0": 7}, {"norm": None, "method": "rrf", "params": {"k": 7}}),
    *(
        ("top_k", {"normalise": ours, "dedupe": dedupe}, {"norm": theirs, "method": method})
        for ours, theirs in (("none", None), ("minmax", "min-max"), ("zscore", "zmuv"), ("rank", "rank"))
        for dedupe, method in (("sum", "sum"), ("best", "max"))
    ),
    (
        "top_k",
        {"normalise": "minmax", "dedupe": "sum", "weights": dict(zip(BRANCHES, WEIGHTS, strict=True))},
        {"norm": "min-max", "method": "wsum", "params": {"weights": WEIGHTS}},
    ),
)
"""(our merge, our options, what ranx is asked)."""


def main() -> None:
    """Draw, fuse, write."""
    dice = random.Random(60)  # noqa: S311  (test data)
    scales = {"a": 1.0, "b": 40.0, "c": 1000.0}
    given = {
        branch: {
            f"q{number}": {f"d{doc}": round(score * scales[branch], 3) for doc, score in _scores(dice)}
            for number in range(QUERIES)
        }
        for branch in BRANCHES
    }
    runs = [Run(given[branch], name=branch) for branch in BRANCHES]
    fused = [
        {"merge": merge, "options": options, "scores": fuse(runs=runs, **asked).to_dict()} for merge, options, asked in FUSIONS
    ]
    TARGET.write_text(json.dumps({"ranx": version("ranx"), "given": given, "fused": fused}, separators=(",", ":")) + "\n")


def _scores(dice: random.Random) -> list[tuple[int, float]]:
    """A list of 2 to 8 documents with different scores."""
    docs = dice.sample(range(12), dice.randint(2, 8))
    return list(zip(docs, dice.sample([n / 500 for n in range(1, 500)], len(docs)), strict=True))


if __name__ == "__main__":
    main()
