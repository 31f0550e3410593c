"""What a merge costs: µs per branch in a merge of N, with ten hits each, or one answer each where a merge takes no lists.

Per branch, so that a merge whose cost is not flat from five branches to fifty shows. `× collect`: the ratio to the merge that
only copies the same answers, from the same run, since µs are those of the machine. `at verdict`: what is left to do when the
request is complete, if the merge has worked ahead on each answer as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from aggregator.engine.merges import MergeInput, compile_merge, merge_schema
from bench.kit.best import best
from bench.kit.plans import WIDTHS
from fanmesh.model.merge import Answer, MergeSpec
from fanmesh.model.values import JsonValue

HITS = 10
ROUNDS = 50
COLLECT = MergeSpec("collect")
Answering = Callable[[int], JsonValue]


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
    (COLLECT, hits),
    (COLLECT, label),
    (MergeSpec("first"), label),
    (MergeSpec("priority"), label),
    (MergeSpec("best_confidence"), label),
    (MergeSpec("namespace"), label),
    (MergeSpec("overlay"), label),
    (MergeSpec("deep_merge"), label),
    (MergeSpec("vote", {"path": "label"}), label),
    (MergeSpec("numeric", {"path": "price"}), label),
    (MergeSpec("concat"), hits),
    (MergeSpec("union", {"key": "id"}), hits),
    (MergeSpec("join_by_key"), hits),
    (MergeSpec("top_k"), hits),
    (MergeSpec("top_k", {"normalise": "zscore", "dedupe": "sum"}), hits),
    (MergeSpec("rrf"), hits),
    (MergeSpec("concat_stream"), text),
    (MergeSpec("custom", {"call": "bench.micro.merges:one"}, one), hits),
)


def figures() -> dict[str, dict[str, float]]:
    """µs per branch by merge and number of branches, and what that is of `collect`'s."""
    kinds: Any = merge_schema()["anyOf"]
    if missing := set(kinds[1]["properties"]) - {spec.kind for spec, _ in CASES}:
        raise SystemExit(f"no bench for the merges {', '.join(sorted(missing))}")
    out: dict[str, dict[str, float]] = {}
    for spec, answer in CASES:
        name = _name(spec, answer)
        for branches in WIDTHS:
            names = [f"b{number}" for number in range(branches)]
            merge = compile_merge(spec, names)
            given = [MergeInput(branch, answer(number), number) for number, branch in enumerate(names)]
            copying = best(partial(compile_merge(COLLECT, names).merge, given), ROUNDS)
            ways = {name: given}
            if merge.strategy.digest is not None:
                ways[f"{name}, at verdict"] = [one._replace(digest=merge.strategy.digest(one.value)) for one in given]
            for way, inputs in ways.items():
                cost = best(partial(merge.merge, inputs), ROUNDS)
                out.setdefault(way, {})[str(branches)] = cost / branches
                if spec is not COLLECT:
                    out.setdefault(f"{way}, × collect", {})[str(branches)] = cost / copying
    return out


def _name(spec: MergeSpec, answer: Answering) -> str:
    how = spec.options.get("normalise") if isinstance(spec.options, dict) else None
    of = f" of {answer.__name__}" if spec is COLLECT else ""
    return f"merge, {spec.kind}{f' {how}' if how else ''}{of}"
