"""What a merge costs: µs per merge of N branches with ten hits each, or one answer each where a merge takes no lists.

`at verdict`: what is left to do when the request is complete, if the merge has worked ahead on each answer as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aggregator.engine.merges import MergeInput, compile_merge
from bench.kit.best import best
from bench.kit.plans import WIDTHS
from fanmesh.model.merge import Answer, MergeSpec
from fanmesh.model.values import JsonValue

HITS = 10


def hits(branch: int) -> JsonValue:
    """Ten hits, half of which the next branch has as well."""
    return [
        {"id": f"d{branch * HITS // 2 + rank}", "score": 1 / (branch + rank + 1), "title": "a title"} for rank in range(HITS)
    ]


def label(branch: int) -> JsonValue:
    """One answer of a few."""
    return {"label": f"l{branch % 3}", "price": 1 / (branch + 1)}


def text(branch: int) -> JsonValue:
    """A sentence."""
    return f"branch {branch} has something to say. "


def one(answers: Sequence[Answer], _options: JsonValue) -> object:
    """The least that a function of one's own can do."""
    return answers[0].value


CASES = (
    (MergeSpec("union", {"key": "id"}), hits),
    (MergeSpec("join_by_key"), hits),
    (MergeSpec("top_k"), hits),
    (MergeSpec("top_k", {"normalise": "zscore", "dedupe": "sum"}), hits),
    (MergeSpec("rrf"), hits),
    (MergeSpec("vote", {"path": "label"}), label),
    (MergeSpec("best_confidence"), label),
    (MergeSpec("numeric", {"path": "price"}), label),
    (MergeSpec("concat_stream"), text),
    (MergeSpec("custom", {"call": "bench.micro.merges:one"}, one), hits),
)


def figures() -> dict[str, dict[str, float]]:
    """µs per merge, by merge and number of branches."""
    out: dict[str, dict[str, float]] = {}
    for spec, answer in CASES:
        how = spec.options.get("normalise") if isinstance(spec.options, dict) else None
        name = f"merge, {spec.kind}{f' {how}' if how else ''}"
        for branches in WIDTHS:
            names = [f"b{number}" for number in range(branches)]
            merge = compile_merge(spec, names)
            given = [MergeInput(branch, answer(number), number) for number, branch in enumerate(names)]
            out.setdefault(name, {})[str(branches)] = best(partial(merge.merge, given))
            digest = merge.strategy.digest
            if digest is not None:
                ahead = [one._replace(digest=digest(one.value)) for one in given]
                out.setdefault(f"{name}, at verdict", {})[str(branches)] = best(partial(merge.merge, ahead))
    return out
