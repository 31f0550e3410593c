"""The merge that picks the answer of the branch that made one of all, or merges the others without it."""

from __future__ import annotations

import pytest

from aggregator.engine.merges import Merge, MergeError, MergeInput, compile_merge
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue, Opaque

BLOB = Opaque("image/png", b"x", is_message=False)


def merge_of(otherwise: JsonValue = None) -> Merge:
    """For the branches a, b and the one that makes one answer of them."""
    return compile_merge(MergeSpec("synthesize", {"branch": "s", "otherwise": otherwise}), ("a", "b", "s"))


def given(*branches: str) -> list[MergeInput]:
    """Their answers, which are their names in a list."""
    return [MergeInput(branch, [branch], at) for at, branch in enumerate(branches)]


@pytest.mark.parametrize("otherwise", [None, "collect", {"union": {}}])
def test_its_answer_is_the_result(otherwise: JsonValue) -> None:
    """Whatever the others say; nothing conflicts."""
    merged = merge_of(otherwise).merge(given("a", "b", "s"))
    assert (merged.value, merged.merged, merged.conflicts) == (["s"], ("s",), ())


def test_without_it_there_is_nothing() -> None:
    """Before it has answered, or if it fails: nothing that could be taken for the result."""
    merged = merge_of().merge(given("a", "b"))
    assert (merged.value, merged.merged) == (None, ())


@pytest.mark.parametrize(
    ("otherwise", "value"),
    [("collect", {"a": ["a"], "b": ["b"]}), ("concat", ["a", "b"]), ({"priority": ["b"]}, ["b"])],
)
def test_or_the_others_are_merged(otherwise: JsonValue, value: JsonValue) -> None:
    """By the merge that is named, in plan order."""
    assert merge_of(otherwise).merge(given("b", "a")).value == value


def test_what_it_takes() -> None:
    """Anything from the branch that is the result; JSON from the others, and what the other merge takes."""
    assert merge_of().accepts("s", BLOB) is None
    assert merge_of().accepts("a", BLOB) is not None
    assert merge_of("union").accepts("a", 1) is not None
    assert merge_of("union").accepts("a", [1]) is None
    assert merge_of("union").accepts("s", 1) is None


def test_what_is_true_of_the_other_merge_is_true_of_it() -> None:
    """Whether it reads inside values, and whether it matters who was first."""
    assert (merge_of().needs_fields, merge_of("union").needs_fields) == (False, True)
    assert (merge_of().arrival_dependent, merge_of("first").arrival_dependent) == (False, True)


WRONG: list[tuple[JsonValue, tuple[str | int, ...]]] = [
    (None, ()),
    ({"branch": "s", "more": 1}, ()),
    ({"branch": "x"}, ("branch",)),
    ({}, ("branch",)),
    ({"branch": "s", "otherwise": 1}, ("otherwise",)),
    ({"branch": "s", "otherwise": {}}, ("otherwise",)),
    ({"branch": "s", "otherwise": "nothing"}, ("otherwise",)),
    ({"branch": "s", "otherwise": "synthesize"}, ("otherwise",)),
    ({"branch": "s", "otherwise": {"custom": {"call": "x:y"}}}, ("otherwise", "custom")),
    ({"branch": "s", "otherwise": {"priority": ["s"]}}, ("otherwise", "priority", 0)),
    ({"branch": "s", "otherwise": {"rrf": {"k": 0}}}, ("otherwise", "rrf", "k")),
]


@pytest.mark.parametrize(("options", "path"), WRONG)
def test_what_it_does_not_understand(options: JsonValue, path: tuple[str | int, ...]) -> None:
    """The path leads to what is wrong."""
    with pytest.raises(MergeError) as caught:
        compile_merge(MergeSpec("synthesize", options), ("a", "b", "s"))
    assert caught.value.path == path
