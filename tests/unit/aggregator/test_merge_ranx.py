"""`rrf` and `top_k` against ranx, an independent implementation: scripts/fuse_with_ranx.py keeps its answers in ranx.json.

Where both have the same convention nothing is done: ranks count from 1, rrf's constant is 60 unless given, a standard deviation
has n in the denominator, a rank is worth 1 − (rank − 1) / n, a document that a list does not have adds nothing. Where they
differ, the answers of ranx are brought to ours, or not compared:

* min-max of a list whose scores are all equal, and so of a list of one: each is worth 1 here and 0 there (`_aligned`).
* Equal scores within a list: both go by the place in the list; the lists are kept in the order in which ranx has put them.
* Equal scores in the result: plan order and key here, arbitrary there, so only hits whose scores differ have to be in order.
* The last bit: sums are rounded once here, and after each addition there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aggregator.engine.merges import MergeInput, compile_merge
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue

GROUPS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "ranx.json").read_text())["groups"]
Lists = Mapping[str, Sequence[tuple[str, float]]]
"""Of one request: by branch (document, score), best first."""

FUSED = [(group["branches"], group["given"], asked) for group in GROUPS for asked in group["fused"]]
CLOSE = 1e-11
"""Relative, and absolute below 1: sums of at most five doubles that were kept to 13 digits."""


def _name(branches: Sequence[str], asked: Mapping[str, Any]) -> str:
    options = asked["options"] | ({"weights": "…"} if "weights" in asked["options"] else {})
    return f"{asked['merge']} {options or ''} of {len(branches)}"


@pytest.mark.parametrize(("branches", "given", "asked"), FUSED, ids=[_name(one, asked) for one, _, asked in FUSED])
def test_fusion_is_that_of_ranx(branches: list[str], given: list[Lists], asked: dict[str, Any]) -> None:
    """The same documents with the same scores for every request, and in its order wherever scores differ."""
    merge = compile_merge(MergeSpec(asked["merge"], {**asked["options"], "k": 100}), branches)
    assert len(given) == len(asked["scores"]) == 34
    for lists, scores in zip(given, asked["scores"], strict=True):
        documents = sorted({document for hits in lists.values() for document, _ in hits})
        expected = _aligned(dict(zip(documents, scores, strict=True)), lists, asked["options"])
        merged = merge.merge([MergeInput(branch, _answer(hits), 0) for branch, hits in lists.items()])
        assert isinstance(merged.value, list)
        items = [item for item in merged.value if isinstance(item, dict)]
        found: dict[str, Any] = {str(item["key"]): item["score"] for item in items}
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE)
        theirs = [expected[key] for key in found]
        assert all(one >= other or one == pytest.approx(other, rel=CLOSE, abs=CLOSE) for one, other in pairwise(theirs))
        for item in items:  # what is said to be tied is so in their scores, too
            others = [score for key, score in expected.items() if key != item["key"]]
            assert "tied" not in item or item["score"] in map(_nearly, others)


def test_the_requests_have_what_fusion_stumbles_over() -> None:
    """More than a hundred of them, with ties, lists of nothing but ties, single hits, missing documents, other lengths."""
    requests = [lists for group in GROUPS for lists in group["given"]]
    lists = [[score for _, score in hits] for one in requests for hits in one.values()]
    assert len(requests) == 102
    assert sum(len(set(scores)) < len(scores) for scores in lists) > 100
    assert sum(_flat(scores) and len(scores) > 1 for scores in lists) > 20
    assert sum(len(scores) == 1 for scores in lists) > 20
    assert sum(min(scores) < 0 for scores in lists) > 20
    assert sum(len({len(hits) for hits in one.values()}) > 1 for one in requests) > 80
    assert sum(len({frozenset(document for document, _ in hits) for hits in one.values()}) > 1 for one in requests) > 80
    assert all(scores == sorted(scores, reverse=True) for scores in lists)


def _aligned(expected: dict[str, float], lists: Lists, options: Mapping[str, Any]) -> dict[str, float]:
    """What ranx would say if min-max gave 1, and not 0, to the hits of a list whose scores are all equal."""
    if options.get("normalise") != "minmax":
        return expected
    found = dict(expected)
    for branch, document in _hits_of_flat_lists(lists):
        if options["dedupe"] == "sum":
            found[document] += options.get("weights", {}).get(branch, 1.0)
        else:
            found[document] = 1.0
    return found


def _hits_of_flat_lists(lists: Lists) -> Iterator[tuple[str, str]]:
    """(branch, document)."""
    for branch, hits in lists.items():
        if _flat([score for _, score in hits]):
            yield from ((branch, document) for document, _ in hits)


def _flat(scores: Sequence[float]) -> bool:
    return len(set(scores)) == 1


def _nearly(score: float) -> Any:
    return pytest.approx(score, rel=CLOSE, abs=CLOSE)


def _answer(hits: Sequence[tuple[str, float]]) -> list[JsonValue]:
    """A worker's list."""
    return [{"id": document, "score": score} for document, score in hits]
