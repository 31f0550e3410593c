"""The ranked merges: top_k and rrf."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aggregator.engine.merges import Merge, Merged, MergeError, MergeInput, compile_merge
from aggregator.engine.scores import NORMALISE
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.model.values import JsonValue, Opaque, Value

BRANCHES = ("a", "b", "c")
BLOB = Opaque("image/png", b"png", is_message=False)


def _merge(kind: str, options: JsonValue = None) -> Merge:
    return compile_merge(MergeSpec(kind, options), BRANCHES)


def _merged(kind: str, *values: Value, options: JsonValue = None, default: str = "") -> Merged:
    merge = _merge(kind, options)
    given = [
        MergeInput(branch, value, -at, branch in default)
        for at, (branch, value) in enumerate(zip(BRANCHES, values, strict=False))
    ]
    assert [merge.accepts(one.branch, one.value) for one in given] == [None] * len(given)
    return merge.merge(given)


def _hits(**scores: float) -> list[JsonValue]:
    return [{"id": key, "score": score} for key, score in scores.items()]


def _items(merged: Merged) -> list[dict[str, Any]]:
    assert isinstance(merged.value, list)
    return [item for item in merged.value if isinstance(item, dict)]


def _order(merged: Merged) -> list[tuple[Any, Any]]:
    return [(item["key"], item["score"]) for item in _items(merged)]


def test_top_k_takes_the_best_of_all() -> None:
    """By score, whoever gave it; each item says its key, its score, what each branch said, and shows the hit."""
    merged = _merged("top_k", _hits(x=1, y=3), _hits(z=2, x=0.5), options={"k": 2})
    assert merged.value == [
        {"key": "y", "score": 3, "scores": {"a": 3}, "hit": {"id": "y", "score": 3}},
        {"key": "z", "score": 2, "scores": {"b": 2}, "hit": {"id": "z", "score": 2}},
    ]
    assert (merged.conflicts, merged.merged) == ((), ("a", "b"))


def test_top_k_gives_ten_unless_told() -> None:
    """The default of k."""
    assert len(_order(_merged("top_k", [{"id": n, "score": n} for n in range(20)]))) == 10


@pytest.mark.parametrize(
    ("dedupe", "expected"), [("best", [("x", 3), ("y", 2), ("z", 1)]), ("sum", [("x", 4), ("y", 3), ("z", 1)])]
)
def test_top_k_makes_one_hit_of_one_key(dedupe: str, expected: list[tuple[str, float]]) -> None:
    """The best of them, or their sum; 1 and 1.0 are one key."""
    merged = _merged("top_k", _hits(x=3, y=1), _hits(x=1, y=2, z=1), options={"dedupe": dedupe})
    assert _order(merged) == expected
    assert len(_order(_merged("top_k", [{"id": 1, "score": 1}], [{"id": 1.0, "score": 2}, {"id": "1", "score": 3}]))) == 2


def test_top_k_counts_a_key_once_in_a_branch() -> None:
    """The best hit of it, wherever it stands; a branch cannot raise its own sum."""
    twice: JsonValue = [{"id": "x", "score": 1, "n": 1}, {"id": "x", "score": 2, "n": 2}, {"id": "x", "score": 2, "n": 3}]
    merged = _merged("top_k", twice, _hits(x=1), options={"dedupe": "sum", "keep": ["n"]})
    assert merged.value == [{"key": "x", "score": 3, "scores": {"a": 2, "b": 1}, "hit": {"n": 2}}]


@pytest.mark.parametrize("dedupe", ["best", "sum"])
def test_ties_go_by_plan_order_and_then_by_key(dedupe: str) -> None:
    """Score, the branch that is shown, key; numbers before strings. What is tied says so, also with what k has cut off."""
    first: JsonValue = [{"id": key, "score": 1} for key in ("q", "p", 10, 9)]
    merged = _merged("top_k", first, [{"id": "a", "score": 1}, {"id": "b", "score": 0.5}], options={"dedupe": dedupe})
    assert [key for key, _ in _order(merged)] == [9, 10, "p", "q", "a", "b"]
    assert [item.get("tied") for item in _items(merged)] == [True] * 5 + [None]
    assert _items(_merged("top_k", first, options={"k": 1}))[0]["tied"] is True


def test_scores_keep_what_integers_say() -> None:
    """Times in ns are scores as well: beyond 2**53 they are still told apart, and add up exactly while 64 bits hold them."""
    big = (1 << 60) + 1
    assert _order(_merged("top_k", _hits(x=big - 1), _hits(y=big))) == [("y", big), ("x", big - 1)]
    assert _order(_merged("top_k", _hits(x=big), _hits(x=2), options={"dedupe": "sum"})) == [("x", big + 2)]
    most = (1 << 64) - 1
    ((_, total),) = _order(_merged("top_k", _hits(x=most), _hits(x=most), options={"dedupe": "sum"}))
    assert isinstance(total, float)


@pytest.mark.parametrize(
    ("how", "scores", "expected"),
    [
        ("none", [4, 2, 1], [4, 2, 1]),
        ("minmax", [4, 2, 0], [1, 0.5, 0]),
        ("minmax", [-1, -3], [1, 0]),
        ("minmax", [7], [1]),
        ("minmax", [7, 7], [1, 1]),
        ("zscore", [3, 1], [1, -1]),
        ("zscore", [5, 5, 5], [0, 0, 0]),
        ("zscore", [0.1, 0.1, 0.1], [0, 0, 0]),
        ("zscore", [1e-200, -1e-200], [1, -1]),
        ("zscore", [1e150, -1e150], [1, -1]),
        ("rank", [9, 9, 1, 0], [1, 0.75, 0.5, 0.25]),
    ],
)
def test_normalisation(how: str, scores: list[float], expected: list[float]) -> None:
    """The formulas, and what they say where all scores are equal, or too small or too large to be squared."""
    assert list(NORMALISE[how](scores)) == pytest.approx(expected, abs=0)


def test_normalisation_is_per_branch_and_before_the_weights() -> None:
    """A branch that scores in thousands does not drown one that scores in parts of one."""
    options: JsonValue = {"normalise": "minmax", "weights": {"b": 0.5}, "dedupe": "sum"}
    merged = _merged("top_k", _hits(x=3000, y=2000, z=1000), _hits(y=0.9, q=0.1), options=options)
    assert _order(merged) == [("x", 1), ("y", 1), ("q", 0), ("z", 0)] or _order(merged) == [
        ("x", 1),
        ("y", 1),
        ("z", 0),
        ("q", 0),
    ]
    assert _items(merged)[1]["scores"] == {"a": 2000, "b": 0.9}


def test_a_default_never_pushes_a_real_hit_out() -> None:
    """Its hits stand behind all real ones, only for keys that nobody has, and only as far as k reaches."""
    real, spare = _hits(x=1, y=0), _hits(x=9, z=9, q=8)
    merged = _merged("top_k", spare, real, options={"k": 3, "dedupe": "sum"}, default="a")
    assert _order(merged) == [("x", 1), ("y", 0), ("z", 9)]
    assert merged.merged == ("a", "b")
    assert _merged("top_k", spare, real, options={"k": 2}, default="a").merged == ("b",)
    assert _order(_merged("rrf", ["z"], ["x"], default="a")) == [("x", 1 / 61), ("z", 1 / 61)]
    assert "tied" not in str(_merged("rrf", ["z"], ["x"], default="a").value)


def test_kept_fields_on_which_branches_differ_are_conflicts() -> None:
    """Of one key's hits the shown one is that with the best score; without `keep`, hits are not compared."""
    one: JsonValue = [{"id": 7, "score": 1, "title": "A", "n": None}]
    two: JsonValue = [{"id": 7, "score": 2, "title": "B", "n": 1}]
    merged = _merged("top_k", one, two, options={"keep": ["title", "n", "gone"]})
    assert merged.value == [{"key": 7, "score": 2, "scores": {"a": 1, "b": 2}, "hit": {"title": "B", "n": 1}}]
    assert merged.conflicts == (Conflict("7.title", {"a": "A", "b": "B"}, "b"),)
    assert _merged("top_k", one, two).conflicts == ()
    assert _merged("top_k", one, two, options={"keep": ["title"]}, default="ab").conflicts == ()
    equal = _merged("top_k", [{"id": 7, "score": 2, "title": "first"}], two, options={"keep": ["title"]})
    assert (_items(equal)[0]["hit"], equal.conflicts[0].chosen) == ({"title": "first"}, "a")
    assert _merged("top_k", one, two, options={"keep": []}).value == [{"key": 7, "score": 2, "scores": {"a": 1, "b": 2}}]


def test_rrf_is_the_sum_of_reciprocal_ranks() -> None:
    """Σ w / (60 + rank), ranks from the order of each list; the best that one list can give is 1/61."""
    merged = _merged("rrf", ["x", "y"], ["y", "z"], ["q"], options={"weights": {"c": 1.5}})
    assert merged.value == [
        {"key": "y", "score": math.fsum((1 / 62, 1 / 61)), "ranks": {"a": 2, "b": 1}},
        {"key": "q", "score": 1.5 / 61, "ranks": {"c": 1}},
        {"key": "x", "score": 1 / 61, "ranks": {"a": 1}},
        {"key": "z", "score": 1 / 62, "ranks": {"b": 2}},
    ]
    assert _order(_merged("rrf", ["x", "y"], options={"k0": 1, "k": 1})) == [("x", 0.5)]


def test_rrf_takes_hits_with_keys_and_bare_keys() -> None:
    """A key that stands twice has its first place, and takes none from those behind it."""
    merged = _merged(
        "rrf",
        {"r": {"hits": [{"doc": 1, "t": "x"}, {"doc": 1}, {"doc": 2}]}},
        {"r": {"hits": [2]}},
        {"r": None},
        options={"path": "r.hits", "key": "doc"},
    )
    assert merged.value == [
        {"key": 2, "score": 1 / 61 + 1 / 62, "ranks": {"a": 2, "b": 1}},
        {"key": 1, "score": 1 / 61, "ranks": {"a": 1}, "hit": {"doc": 1, "t": "x"}},
    ]


@pytest.mark.parametrize("kind", ["top_k", "rrf"])
def test_nothing_to_rank(kind: str) -> None:
    """No branch, null and an empty list give an empty list."""
    assert _merge(kind).merge([]) == Merged([])
    assert _merged(kind, None, []).value == []


@pytest.mark.parametrize(
    ("kind", "options", "value", "why"),
    [
        ("top_k", None, 1, "a is a number, and only lists of hits can be ranked"),
        ("top_k", None, BLOB, "a is an opaque image/png, and only lists of hits can be ranked"),
        ("top_k", {"path": "r.hits"}, 1, "a is a number, and only a map can have r.hits"),
        ("top_k", {"path": "r.hits"}, {"r": [1]}, "a.r is a list, and only a map can have hits"),
        ("top_k", {"path": "r.hits"}, {"r": {"hits": {}}}, "a.r.hits is a map, and only lists of hits can be ranked"),
        ("top_k", None, [{"id": 1, "score": 1}, 7], "a[1] is a number, and only a map can have the key id"),
        ("top_k", None, [{"score": 1}], "a[0].id is missing; a key is a string or a number"),
        ("top_k", None, [{"id": True, "score": 1}], "a[0].id is a boolean; a key is a string or a number"),
        ("top_k", {"path": "h"}, {"h": [{"id": 1}]}, "a.h[0].score is missing; a score is a number"),
        ("top_k", {"score": "s.x"}, [{"id": 1, "s": {"x": "1"}}], "a[0].s.x is a string; a score is a number"),
        ("top_k", None, [{"id": 1, "score": True}], "a[0].score is a boolean; a score is a number"),
        ("top_k", None, [{"id": 1, "score": -1e151}], "a[0].score is -1e+151, and scores beyond ±1e+150 cannot be combined"),
        ("rrf", None, {}, "a is a map, and only lists can be fused"),
        ("rrf", None, ["x", None], "a[1] is null, and only a map can have the key id"),
        ("rrf", {"key": "x.y"}, [{"x": {"y": []}}], "a[0].x.y is a list; a key is a string or a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_ranked(kind: str, options: JsonValue, value: Value, why: str) -> None:
    """A branch is refused when it answers, with the path of what is wrong."""
    assert _merge(kind, options).accepts("a", value) == why


@pytest.mark.parametrize(
    ("kind", "options", "path", "message"),
    [
        ("top_k", 5, (), "expected a map of options: k, key, path, keep, score, normalise, dedupe, weights"),
        ("top_k", {"kk": 1}, ("kk",), "no option 'kk', did you mean 'k'; there are k, key"),
        ("top_k", {"k": 0}, ("k",), "expected a whole number from 1 to 100000"),
        ("top_k", {"k": 2.5}, ("k",), "expected a whole number"),
        ("top_k", {"k": True}, ("k",), "expected a whole number"),
        ("top_k", {"key": ""}, ("key",), "expected a dotted path"),
        ("top_k", {"score": 1}, ("score",), "expected a dotted path"),
        ("top_k", {"keep": "x"}, ("keep",), "expected a list of field names"),
        ("top_k", {"keep": [1]}, ("keep",), "expected a list of field names"),
        ("top_k", {"normalise": "max"}, ("normalise",), "no normalise 'max', did you mean 'minmax'; there are none, minmax"),
        ("top_k", {"dedupe": 1}, ("dedupe",), "no dedupe 1; there are best, sum"),
        ("rrf", {"weights": [1]}, ("weights",), "expected a map from branch to number"),
        ("rrf", {"weights": {"d": 1}}, ("weights", "d"), "no branch 'd'; there are a, b, c"),
        ("rrf", {"weights": {"a": -1}}, ("weights", "a"), "expected a number from 0 to 1000000"),
        ("rrf", {"weights": {"a": float("nan")}}, ("weights", "a"), "expected a number from 0"),
        ("rrf", {"weights": {"a": "1"}}, ("weights", "a"), "expected a number from 0"),
        ("rrf", {"k0": 0}, ("k0",), "expected a whole number from 1"),
    ],
)  # fmt: skip
def test_options_that_are_not_understood(kind: str, options: JsonValue, path: tuple[str, ...], message: str) -> None:
    """The error leads to the place and says what would be right there."""
    with pytest.raises(MergeError) as caught:
        _merge(kind, options)
    assert caught.value.path == path
    assert caught.value.message.startswith(message)


def test_null_is_an_option_left_out() -> None:
    """As everywhere in the configuration."""
    assert _order(_merged("top_k", _hits(x=1), options={"k": None, "weights": None, "keep": None})) == [("x", 1)]


def test_what_has_no_key_or_score_cannot_be_ranked() -> None:
    """`accepts` says so; whoever merges it all the same loses that hit and no other."""
    hits: JsonValue = [{"id": "x", "score": 1}, {"id": None, "score": 2}, {"id": "y", "score": "high"}]
    merge = _merge("top_k")
    assert merge.accepts("a", hits) is not None
    assert _order(merge.merge([MergeInput("a", hits, 0)])) == [("x", 1)]
