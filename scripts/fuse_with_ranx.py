"""Writes tests/unit/aggregator/ranx.json: lists of hits, and what ranx makes of them, to check `rrf` and `top_k` against.

ranx brings 36 packages (numba among them), 700 MB and a minute of compilation, for numbers that never change; so it is asked
once, in an environment of its own, and the answers are kept:

    python -m venv /tmp/ranx && /tmp/ranx/bin/pip install ranx==0.3.21 && /tmp/ranx/bin/python scripts/fuse_with_ranx.py

Lists are of 1 to 9 hits; half of the requests have ties within a list, some lists are nothing but ties, some scores are
negative. They are kept in the order in which ranx has sorted them, which decides what rank each of several equal hits has.
"""

from __future__ import annotations

import json
import random
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from ranx import Run, fuse

TARGET: Final = Path(__file__).resolve().parents[1] / "tests" / "unit" / "aggregator" / "ranx.json"
REQUESTS: Final = {2: 34, 3: 34, 5: 34}
"""How many, by the number of branches."""
BRANCHES: Final = {"a": 1.0, "b": 40.0, "c": 1024.0, "d": 0.125, "e": -8.0}
"""Each scores on a scale of its own, one of them below zero."""
WEIGHTS: Final = {"a": 1.0, "b": 0.5, "c": 2.0, "d": 0.25, "e": 3.0}
DOCUMENTS: Final = 10

FUSIONS: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    ("rrf", {}, {"norm": None, "method": "rrf", "params": {"k": 60}}),
    ("rrf", {"k0": 7}, {"norm": None, "method": "rrf", "params": {"k": 7}}),
    *(
        ("top_k", {"normalise": ours, "dedupe": dedupe}, {"norm": theirs, "method": method})
        for ours, theirs in (("none", None), ("minmax", "min-max"), ("zscore", "zmuv"), ("rank", "rank"))
        for dedupe, method in (("sum", "sum"), ("best", "max"))
    ),
    ("top_k", {"normalise": "minmax", "dedupe": "sum", "weights": WEIGHTS}, {"norm": "min-max", "method": "wsum"}),
)
"""(our merge, our options, what ranx is asked)."""


def main() -> None:
    """Draw, fuse, write."""
    dice = random.Random(60)  # noqa: S311  (test data)
    groups = [_group(dice, tuple(BRANCHES)[:width], count) for width, count in REQUESTS.items()]
    kept = {"ranx": version("ranx"), "groups": groups}
    TARGET.write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def _group(dice: random.Random, branches: tuple[str, ...], count: int) -> dict[str, Any]:
    """Requests to the same branches: ranx fuses many at once, as long as they have the same runs."""
    queries = [f"q{number:03}" for number in range(count)]
    drawn = [{branch: _scores(dice, BRANCHES[branch], ties=at % 2 == 1) for branch in branches} for at in range(count)]
    runs = [Run({query: one[branch] for query, one in zip(queries, drawn, strict=True)}) for branch in branches]
    given = [run.to_dict() for run in runs]
    fused = []
    for merge, options, asked in FUSIONS:
        weighted = "weights" in options
        params = {"params": {"weights": [WEIGHTS[branch] for branch in branches]}} if weighted else {}
        scores = fuse(runs=runs, **asked, **params).to_dict()
        told = options | {"weights": {branch: WEIGHTS[branch] for branch in branches}} if weighted else options
        fused.append({"merge": merge, "options": told, "scores": [_plain(scores[query]) for query in queries]})
    lists = [{branch: list(one[query].items()) for branch, one in zip(branches, given, strict=True)} for query in queries]
    return {"branches": branches, "given": lists, "fused": fused}


def _scores(dice: random.Random, scale: float, *, ties: bool) -> dict[str, float]:
    """A list of some of the documents. Scores that tie are eighths, which doubles hold exactly on every scale."""
    docs = dice.sample(range(DOCUMENTS), dice.randint(1, DOCUMENTS - 1))
    if ties:
        steps = dice.choice((1, 2, 4))
        scores = [dice.randint(1, steps) / 8 for _ in docs]
    else:
        scores = dice.sample([n / 512 for n in range(1, 512)], len(docs))
    return {f"d{doc}": score * scale for doc, score in zip(docs, scores, strict=True)}


def _plain(scores: dict[str, float]) -> list[float]:
    """By the key's order, to 13 digits: the rest is that of another order of addition."""
    return [float(f"{scores[key]:.13g}") for key in sorted(scores)]


if __name__ == "__main__":
    main()
