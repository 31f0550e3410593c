"""Every merge with answers to give it, for properties: what must hold for one merge is tried on all of them.

Two lists and not one: the merges of fields and lists take whatever fits them out of any JSON, and what does not fit is left
out; those that rank, join, vote and count need answers made for them, or hardly any would fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st

from aggregator.engine.rules import Rule
from fanmesh.model.merge import Answer, MergeSpec
from fanmesh.model.values import JsonValue, Value

BRANCHES = ("a", "b", "c", "d")
"""In plan order."""

Case: TypeAlias = tuple[MergeSpec, st.SearchStrategy[Any]]

# ------------------------------------------------------------------ any JSON
fields = st.sampled_from(["x", "y", "z"])
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=3), max_leaves=8
)
maps = st.dictionaries(fields, values, max_size=3)
sums = st.dictionaries(fields, st.integers(-9, 9) | st.floats(-1e6, 1e6), max_size=3)
listed = st.dictionaries(fields, st.lists(leaves, max_size=3), max_size=3)
lists = st.lists(values, max_size=4)
anything = maps | sums | lists | values

PLAIN: list[Case] = [
    (MergeSpec("collect"), anything),
    (MergeSpec("priority", ["c"]), anything),
    (MergeSpec("namespace", {"a": "x", "b": "x"}), maps | values),
    (MergeSpec("overlay"), maps | sums),
    (MergeSpec("deep_merge"), maps | sums | listed),
    *((MergeSpec("deep_merge", {"x": rule.value, "y.x": rule.value}), maps | sums | listed) for rule in Rule),
    (MergeSpec("concat"), lists),
    (MergeSpec("union"), lists),
    (MergeSpec("union", {"key": "x"}), lists | st.lists(maps, max_size=4)),
]
"""Merges that open whatever comes. Not all of it is taken by each of them; null is."""

FIRST: Case = MergeSpec("first"), anything
"""The one merge that looks at arrival."""

# ------------------------------------------------------------------ made for the merge
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["x", "y"])
)
numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(-1e150, 1e150) | st.sampled_from([0, 0.0, -0.0, 0.1, 0.2, 0.3])
keys = st.sampled_from([1, 1.0, 2, "1", "x", "y", "z"])
words = st.text("xyz", max_size=4)


@st.composite
def records(draw: st.DrawFn) -> dict[str, JsonValue]:
    """A hit or a row: a key, a score, and other things."""
    inner = scalars | st.dictionaries(st.just("y"), scalars)
    rest: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["n", "m", "t"]), inner, max_size=3))
    return {**rest, "id": draw(keys), "score": draw(numbers)}


tables: st.SearchStrategy[Any] = st.none() | st.lists(records(), max_size=5)
rows: st.SearchStrategy[Any] = st.none() | st.lists(
    records(), max_size=5, unique_by=lambda row: (isinstance(row["id"], str), row["id"])
)


def first_and_last(answers: Sequence[Answer], _options: JsonValue) -> object:
    """A merge of one's own: looks at all that it is given."""
    return [[one.branch, one.value, one.confidence, one.defaulted] for one in (*answers[:1], *answers[-1:])]


RANKED: list[Case] = [
    *(
        (MergeSpec("top_k", {"k": k, "normalise": how, "dedupe": dedupe, "weights": {"b": 0.3}, "keep": ["t", "n"]}), tables)
        for how in ("none", "minmax", "zscore", "rank")
        for dedupe in ("best", "sum")
        for k in (3,)
    ),
    (MergeSpec("top_k", {"k": 50}), tables),
    (MergeSpec("rrf", {"k": 3, "weights": {"c": 0.7}}), tables),
    (MergeSpec("rrf", {"k": 50}), st.lists(keys, max_size=6)),
    (MergeSpec("join_by_key"), rows),
    (MergeSpec("join_by_key", {"how": "inner", "fields": {"n": "last", "score": "sum"}}), rows),
    (MergeSpec("join_by_key", {"how": "left", "left": "b", "fields": {"m": "error"}}), rows),
    (MergeSpec("vote"), scalars),
    (MergeSpec("vote", {"rule": "majority", "path": "t"}), st.fixed_dictionaries({"t": scalars})),
    (MergeSpec("vote", {"rule": "weighted", "weights": {"a": 0.3, "b": 0.1, "c": 0.2}}), st.booleans()),
    (MergeSpec("vote", {"rule": "weighted"}), scalars),
    (MergeSpec("best_confidence", {"min": 0.5}), scalars | tables),
    *((MergeSpec("numeric", {"rule": rule, "stdev": True}), numbers) for rule in ("mean", "median", "min", "max", "sum")),
    (MergeSpec("numeric", {"rule": "weighted_mean"}), st.none() | numbers),
    (MergeSpec("concat_stream", {"separator": "|"}), words),
    (MergeSpec("concat_stream", {"of": "items"}), st.lists(scalars | tables, max_size=3)),
    (MergeSpec("custom", {"call": "here:first_and_last"}, first_and_last), scalars | tables),
]  # fmt: skip
"""Merges that rank, join, vote, count, and one of one's own. Each takes all of its answers."""


PICKED: list[Case] = [
    (MergeSpec("synthesize", {"branch": "c"}), scalars | tables),
    (MergeSpec("synthesize", {"branch": "b", "otherwise": {"priority": ["c", "a"]}}), scalars | tables),
]
"""The answer of one branch, whatever the others have given; no default stands beside it in a plan."""


def named(case: Case) -> str:
    """For the ids of tests."""
    return f"{case[0].kind} {case[0].options or ''}"


def bits(value: Value) -> object:
    """A value with its floats as bits and its keys in order, so that equal means identical."""
    if isinstance(value, dict):
        return [(key, bits(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [bits(item) for item in value]
    return (type(value), value.hex()) if isinstance(value, float) else (type(value), value)


def containers(value: Value) -> set[int]:
    """The identities of all lists and maps in a value."""
    found: set[int] = set()
    if isinstance(value, dict | list):
        found.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            found |= containers(item)
    return found
