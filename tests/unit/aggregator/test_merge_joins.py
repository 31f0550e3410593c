"""The merges that put together: join_by_key, concat_stream."""

from __future__ import annotations

import pytest

from aggregator.engine.fold import Fold
from aggregator.engine.merges import Merge, Merged, MergeError, MergeInput, compile_merge
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Change, End, Event, FoldNode, Happening, PartArrived, Result, Start
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.model.states import BranchState, ChangeKind, EmitMode
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


def _rows(*ids: JsonValue) -> list[JsonValue]:
    return [{"id": one} for one in ids]


# ---------------------------------------------------------------- join_by_key


def test_records_with_one_key_become_one() -> None:
    """Field by field; what differs is a conflict at key.field. 1 and 1.0 are one key, "1" is another."""
    merged = _merged(
        "join_by_key",
        [{"id": 1, "n": "A", "m": {"x": 1}}, {"id": 2}],
        [{"id": 1.0, "n": "B", "m": {"y": 2}}, {"id": "1", "n": "C"}],
    )
    assert merged.value == [{"id": 1, "n": "A", "m": {"x": 1, "y": 2}}, {"id": 2}, {"id": "1", "n": "C"}]
    assert merged.conflicts == (Conflict("1.n", {"a": "A", "b": "B"}, "a"),)
    assert merged.merged == ("a", "b")


def test_fields_have_the_rules_of_deep_merge() -> None:
    """By dotted path within a record; one that refuses to choose is the end of the whole result, with key and field."""
    options: JsonValue = {"fields": {"p.net": "min", "tags": "union", "n": "sum"}}
    one: JsonValue = {"id": 7, "p": {"net": 5}, "tags": ["x"], "n": 1}
    two: JsonValue = {"id": 7, "p": {"net": 3}, "tags": ["x", "y"], "n": 2}
    merged = _merged("join_by_key", [one], [two], options=options)
    assert merged.value == [{"id": 7, "p": {"net": 3}, "tags": ["x", "y"], "n": 3}]
    assert [(conflict.path, conflict.chosen) for conflict in merged.conflicts] == [("7.p.net", "b"), ("7.n", "")]
    big = [[{"id": 7, "n": number}] for number in ((1 << 53) + 1, 1.0)]
    assert _merged("join_by_key", *big, options=options).value == [{"id": 7, "n": 9007199254740994.0}]
    refused = _merged("join_by_key", [*_rows(1), {"id": 2, "n": 1}], [{"id": 2, "n": 2}], options={"fields": {"n": "error"}})
    assert refused == Merged(None, (Conflict("2.n", {"a": 1, "b": 2}, ""),), (), "2.n: a, b disagree")


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, [1, 2, 3, 4]),
        ({"how": "outer"}, [1, 2, 3, 4]),
        ({"how": "inner"}, [2]),
        ({"how": "left"}, [1, 2, 3]),
        ({"how": "left", "left": "b"}, [2, 4]),
    ],
)
def test_which_rows_there_are(options: JsonValue, ids: list[int]) -> None:
    """Of any branch, of every answer, of one branch; in plan order of their keys."""
    merged = _merged("join_by_key", _rows(1, 2, 3), _rows(4, 2), _rows(2, 3, 1), options=options)
    assert isinstance(merged.value, list)
    assert sorted(row["id"] for row in merged.value) == ids  # type: ignore[index,call-overload,type-var]  # maps


def test_a_branch_with_nothing_has_no_keys() -> None:
    """So an inner join with it is empty, and so is a left join of it; a branch that is missing takes no part."""
    assert _merged("join_by_key", _rows(1), None, options={"how": "inner"}).value == []
    assert _merged("join_by_key", [], _rows(1), options={"how": "left"}).value == []
    left = _merge("join_by_key", {"how": "left"})
    assert left.merge([MergeInput("b", _rows(1), 0)]).value == []
    assert _merge("join_by_key", {"how": "inner"}).merge([MergeInput("b", _rows(1), 0)]).value == _rows(1)
    assert _merge("join_by_key").merge([]) == Merged([])


def test_a_default_fills_rows_and_adds_its_own_behind() -> None:
    """It decides which rows there are only where nobody answered, or in place of the branch of a left join."""
    spare: JsonValue = [{"id": 9, "n": 9}, {"id": 1, "n": 9, "m": 9}]
    real: JsonValue = [{"id": 1, "n": 1}]
    merged = _merged("join_by_key", spare, real, default="a")
    assert merged == Merged([{"id": 1, "n": 1, "m": 9}, {"id": 9, "n": 9}], (), ("a", "b"))
    inner = _merged("join_by_key", spare, real, default="a", options={"how": "inner"})
    assert inner == Merged([{"id": 1, "n": 1, "m": 9}], (), ("a", "b"))
    assert _merged("join_by_key", spare, real, default="ab", options={"how": "inner"}).value == [{"id": 1, "n": 9, "m": 9}]
    left = _merged("join_by_key", spare, real, default="a", options={"how": "left"})
    assert left.value == [{"id": 9, "n": 9}, {"id": 1, "n": 1, "m": 9}]
    assert _merged("join_by_key", spare, real, default="a", options={"how": "left", "left": "b"}).merged == ("a", "b")
    assert _merged("join_by_key", _rows(1), real, default="a").merged == ("b",)


def test_list_and_key_may_stand_deeper() -> None:
    """`path` leads to the list, `key` within a record."""
    options: JsonValue = {"path": "r.rows", "key": "k.id"}
    merged = _merged("join_by_key", {"r": {"rows": [{"k": {"id": "x"}, "n": 1}]}}, {"r": None}, {}, options=options)
    assert merged.value == [{"k": {"id": "x"}, "n": 1}]


# ---------------------------------------------------------------- concat_stream


def test_texts_are_joined_in_plan_order() -> None:
    """Whoever was faster; the separator stands only between branches that have something to say."""
    assert _merged("concat_stream", "one", "two", "three") == Merged("onetwothree", (), BRANCHES)
    assert _merged("concat_stream", "one", "", None, options={"separator": "\n"}).value == "one"
    assert _merged("concat_stream", {"t": "one"}, {}, {"t": "two"}, options={"separator": " ", "path": "t"}).value == "one two"
    assert _merge("concat_stream").merge([]) == Merged("")


def test_items_are_joined_in_plan_order() -> None:
    """With `of: items`, lists; a default stands in its branch's place."""
    assert _merged("concat_stream", [1, [2]], [3], None, options={"of": "items"}, default="a").value == [1, [2], 3]
    assert _merge("concat_stream", {"of": "items"}).merge([]) == Merged([])


def test_a_stream_is_seen_as_far_as_it_has_come() -> None:
    """Parts of a branch in their own order, branches in plan order; the last snapshot is the result."""
    nodes = tuple(FoldNode(branch) for branch in ("a", "b"))
    start = Start(
        "r", "p", nodes, 900, 1000, CompletionRule(), MergeSpec("concat_stream", {"separator": "|"}), EmitMode.SNAPSHOT
    )
    happenings: list[Happening] = [
        start,
        *(Change(node.id, ChangeKind.STARTED) for node in nodes),
        PartArrived("b", 0, 0, replace=False, value="b1"),
        PartArrived("a", 0, 0, replace=False, value="a1"),
        PartArrived("b", 0, 1, replace=False, value="b2"),
        PartArrived("a", 0, 1, replace=False, value="a2"),
        End("b", 0, BranchState.SUCCEEDED, streamed=True),
        End("a", 0, BranchState.SUCCEEDED, streamed=True),
    ]
    fold, seen = Fold(), []
    for seq, what in enumerate(happenings):
        effects = fold.apply(Event(seq, seq, what))
        if isinstance(what, PartArrived):
            seen.append(fold.snapshot()[0])
    assert seen == ["b1", "a1|b1", "a1|b1b2", "a1a2|b1b2"]
    (result,) = [effect for effect in effects if isinstance(effect, Result)]
    assert result.value == seen[-1]


# ---------------------------------------------------------------- what they refuse


@pytest.mark.parametrize(
    ("kind", "options", "value", "why"),
    [
        ("join_by_key", None, {}, "a is a map, and only lists of records can be joined"),
        ("join_by_key", None, BLOB, "a is an opaque image/png, and only lists of records can be joined"),
        ("join_by_key", {"path": "r"}, [1], "a is a list, and only a map can have r"),
        ("join_by_key", {"path": "r"}, {"r": [5]}, "a.r[0] is a number, and only a map can have the key id"),
        ("join_by_key", None, [{"id": 1}, {"x": 1}], "a[1].id is missing; a key is a string or a number"),
        ("join_by_key", None, [{"id": {}}], "a[0].id is a map; a key is a string or a number"),
        ("join_by_key", None, _rows(1, 2, 1.0), "a[2].id: the key 1.0 stands in [0] already, and a join needs each once"),
        ("join_by_key", {"fields": {"n.x": "sum"}}, [{"id": 1, "n": {"x": "1"}}], "a[0].n.x: sum needs numbers, not a string"),
        ("concat_stream", None, [1], "a is a list, and of: text joins strings"),
        ("concat_stream", None, BLOB, "a is an opaque image/png, and of: text joins strings"),
        ("concat_stream", {"of": "items", "path": "x"}, {"x": "s"}, "a.x is a string, and of: items joins lists"),
        ("concat_stream", {"path": "x"}, "s", "a is a string, and only a map can have x"),
    ],
)
def test_what_is_refused(kind: str, options: JsonValue, value: Value, why: str) -> None:
    """A branch is judged when it answers, with the path of what is wrong."""
    assert _merge(kind, options).accepts("a", value) == why


@pytest.mark.parametrize(
    ("kind", "options", "path", "message"),
    [
        ("join_by_key", "id", (), "expected a map of options: key, how, left, path, fields"),
        ("join_by_key", {"how": "full"}, ("how",), "no how 'full'; there are outer, inner, left"),
        ("join_by_key", {"left": "a"}, ("left",), "says nothing in an outer join"),
        ("join_by_key", {"how": "left", "left": "d"}, ("left",), "no branch 'd'; there are a, b, c"),
        ("join_by_key", {"fields": {"n": "lst"}}, ("fields", "n"), "no rule 'lst', did you mean 'last'"),
        ("join_by_key", {"fields": []}, ("fields",), "expected a map from dotted path to rule"),
        ("join_by_key", {"fields": {"a..b": "min"}}, ("fields", "a..b"), "expected field names with dots"),
        ("join_by_key", {"fields": {"n": "min", "n.x": "min"}}, ("fields", "n.x"), "a field above it has the rule min"),
        ("join_by_key", {"fields": {"id": "last"}}, ("fields", "id"), "the key is the same in all records"),
        ("join_by_key", {"key": "k.id", "fields": {"k": "last"}}, ("fields", "k"), "the key is the same in all records"),
        ("concat_stream", {"of": "lists"}, ("of",), "no of 'lists', did you mean 'items'; there are text, items"),
        ("concat_stream", {"separator": 1}, ("separator",), "expected a string"),
        ("concat_stream", {"of": "items", "separator": ","}, ("separator",), "stands between texts"),
    ],
)
def test_options_that_are_not_understood(kind: str, options: JsonValue, path: tuple[str, ...], message: str) -> None:
    """The error leads to the place and says what would be right there."""
    with pytest.raises(MergeError) as caught:
        _merge(kind, options)
    assert caught.value.path == path
    assert caught.value.message.startswith(message)
