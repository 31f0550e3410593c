"""How rankings are judged: reciprocal rank, fusion, and a paired comparison."""

from __future__ import annotations

import pytest

from sample_workers.search.evaluate import choose, judge
from sample_workers.search.measures import compare, fuse, reciprocal_rank
from sample_workers.search.questions import KnownItem

QUESTIONS = [KnownItem("one", "a"), KnownItem("two", "b")]
FOUND = [
    {"fts5": ["a"], "bm25s": ["x", "a"], "tantivy": [], "fused": ["a", "x"]},
    {"fts5": ["x", "y", "z", "b"], "bm25s": ["b"], "tantivy": ["b"], "fused": ["b"]},
]


@pytest.mark.parametrize(("right", "rank"), [("a", 1.0), ("c", 1 / 3), ("z", 0.0), ("d", 0.0)])
def test_a_reciprocal_rank_is_zero_beyond_the_depth(right: str, rank: float) -> None:
    """And for what was not found at all."""
    assert reciprocal_rank(["a", "b", "c", "d"], right, depth=3) == rank


def test_fusion_adds_what_places_are_worth() -> None:
    """Two second places beat one first; weights count, equals go by key."""
    rankings = {"one": ["a", "b"], "two": ["c", "b"]}
    assert fuse(rankings, 10, {}) == ["b", "a", "c"]
    assert fuse(rankings, 10, {"two": 3.0}) == ["b", "c", "a"]
    assert fuse(rankings, 10, {}, depth=1) == ["b"]


def test_a_comparison_is_paired() -> None:
    """A small difference that is always there is sure; one of either sign is not; the same figures give the same interval."""
    base = [0.0, 0.5, 1.0] * 40
    sure = compare([each + 0.01 for each in base], base)
    assert sure.low == pytest.approx(0.01)
    assert sure.high == pytest.approx(0.01)
    assert (sure.better, sure.worse, sure.equal) == (120, 0, 0)
    unsure = compare([1.0, 0.0] * 60, [0.0, 1.0] * 60)
    assert unsure.low < 0 < unsure.high
    assert unsure == compare([1.0, 0.0] * 60, [0.0, 1.0] * 60)
    with pytest.raises(ValueError, match="same questions"):
        compare([], [])


def test_the_fusion_is_judged_against_the_best_engine() -> None:
    """Mean reciprocal ranks of all, and the difference to whoever is best by himself."""
    figures = judge(FOUND, QUESTIONS)
    assert figures["mrr@10"] == {"fts5": 0.625, "bm25s": 0.75, "tantivy": 0.5, "fused": 1.0}
    assert figures["best"] == "bm25s"
    against = figures["fused_against_best"]
    assert (against.difference, against.better, against.worse, against.equal) == (0.25, 1, 0, 1)


def test_the_grid_has_no_two_weights_of_one_meaning() -> None:
    """One weight is always the least, and the best combination comes first."""
    tried = choose(FOUND, QUESTIONS)
    assert all(min(weights.values()) == 1.0 for _, _, weights in tried)
    assert [mrr for mrr, _, _ in tried] == sorted((mrr for mrr, _, _ in tried), reverse=True)
