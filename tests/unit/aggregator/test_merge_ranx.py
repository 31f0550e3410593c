"""`rrf` and `top_k` against ranx, an independent implementation: scripts/fuse_with_ranx.py keeps its answers in ranx.json."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aggregator.engine.merges import MergeInput, compile_merge
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue

KEPT: dict[str, Any] = json.loads((Path(__file__).parent / "ranx.json").read_text())
GIVEN: dict[str, dict[str, dict[str, float]]] = KEPT["given"]
BRANCHES = tuple(GIVEN)


@pytest.mark.parametrize("asked", KEPT["fused"], ids=[f"{one['merge']} {one['options']}" for one in KEPT["fused"]])
def test_fusion_is_that_of_ranx(asked: dict[str, Any]) -> None:
    """The same documents with the same scores for every query, and in its order wherever scores differ."""
    merge = compile_merge(MergeSpec(asked["merge"], {**asked["options"], "k": 100}), BRANCHES)
    assert len(asked["scores"]) == 12
    for query, expected in asked["scores"].items():
        merged = merge.merge([MergeInput(branch, _ranked(GIVEN[branch][query]), 0) for branch in BRANCHES])
        assert isinstance(merged.value, list)
        found = {str(item["key"]): item["score"] for item in merged.value if isinstance(item, dict)}
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
        scores = [expected[key] for key in found]
        assert all(one >= other - 1e-12 for one, other in pairwise(scores))


def _ranked(scores: dict[str, float]) -> list[JsonValue]:
    """A worker's list, best first."""
    return [{"id": key, "score": scores[key]} for key in sorted(scores, key=lambda key: -scores[key])]
