from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from aggregator.engine import merges
from aggregator.engine.merges import Merge, Merged, MergeError, MergeInput, compile_merge, merge_schema
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.model.values import JsonValue, Opaque, Value

BRANCHES = ("a", "b", "c")
BLOB = Opaque("image/png", b"png", is_message=False)


def _merge(kind: str, options: JsonValue = None, branches: Sequence[str] = BRANCHES) -> Merge:
    return compile_merge(MergeSpec(kind, options), branches)


def _given(*values: Value, default: str = "") -> list[MergeInput]:
    """Values of a, b, c in that order, arriving in the opposite one; `default` names those that are defaults."""
    return [
        MergeInput(branch, value, -at, branch in default)
        for at, (branch, value) in enumerate(zip(BRANCHES, values, strict=False))
    ]


def _value(kind: str, *values: Value, options: JsonValue = None, default: str = "") -> Value:
    return _merge(kind, options).merge(_given(*values, default=default)).value


def test_collect_keeps_every_result_under_its_branch() -> None:
    """Nothing collides, and null is a result."""
    merged = _merge("collect").merge(_given(1, None, [2]))
    assert merged == Merged({"a": 1, "b": None, "c": [2]}, (), BRANCHES)


def test_first_takes_the_earliest_arrival_and_a_default_only_alone() -> None:
    """Arrival decides among answers; a default is no answer."""
    assert _merge("first").merge(_given(1, 2, 3)) == Merged(3, (), ("c",))
    assert _value("first", 1, 2, 3, default="c") == 2
    assert _value("first", 1, 2, default="ab") == 1
    assert _value("first") is None
    assert _value("first", BLOB) is BLOB
    assert _merge("first").arrival_dependent


def test_priority_takes_the_best_placed_answer() -> None:
    """Plan order, or the order in the options with the rest in plan order; a default only alone."""
    assert _merge("priority").merge(_given(1, 2, 3)) == Merged(1, (), ("a",))
    assert _value("priority", 1, 2, 3, options=["c"]) == 3
    assert _value("priority", 1, 2, options=["c"]) == 1
    assert _value("priority", 1, 2, default="a") == 2
    assert _value("priority", 1, 2, default="ab") == 1
    assert not _merge("priority").needs_fields


def test_namespace_puts_results_under_keys() -> None:
    """A key of its own keeps the result whole; a shared one merges maps and reports where they differ."""
    assert _value("namespace", 1, [2]) == {"a": 1, "b": [2]}
    merge = _merge("namespace", {"a": "who", "b": "who"})
    merged = merge.merge(_given({"x": 1, "y": 1}, {"x": 2}, 3))
    assert merged.value == {"who": {"x": 1, "y": 1}, "c": 3}
    assert merged.conflicts == (Conflict("who.x", {"a": 1, "b": 2}, "a"),)
    assert merged.merged == BRANCHES
    assert merge.accepts("a", 1) == "a is a number, and only maps can be merged by field"
    assert merge.accepts("c", 1) is None


def test_overlay_lets_the_later_branch_win_whole_fields() -> None:
    """Shallow, in plan order; null hides nothing; what differs is reported."""
    merged = _merge("overlay").merge(_given({"x": {"p": 1}, "y": 1, "n": None}, {"x": {"q": 2}, "y": 1.0}, {"x": None}))
    assert merged.value == {"x": {"q": 2}, "y": 1.0, "n": None}
    assert merged.conflicts == (Conflict("x", {"a": {"p": 1}, "b": {"q": 2}}, "b"),)
    assert merged.merged == BRANCHES


def test_overlay_fills_with_defaults() -> None:
    """A default has only fields that no answer has, wherever it stands, and does not conflict."""
    merged = _merge("overlay").merge(_given({"x": 1, "n": None}, {"x": 2, "y": 2, "n": 2}, {"x": 3, "z": None}, default="bc"))
    assert merged == Merged({"x": 1, "n": 2, "y": 2}, (), ("a", "b"))
    assert _value("overlay", {"x": 1}, None, default="b") == {"x": 1}


def test_deep_merge_without_rules() -> None:
    """Maps recurse, lists concatenate, the first scalar in plan order wins and the difference is reported."""
    merged = _merge("deep_merge").merge(
        _given({"m": {"x": 1, "z": None}, "l": [1]}, {"m": {"x": 2, "y": 1}, "l": [1, 2]}, {"m": {"x": 1.0}, "l": None})
    )
    assert merged.value == {"m": {"x": 1, "z": None, "y": 1}, "l": [1, 1, 2]}
    assert merged.conflicts == (Conflict("m.x", {"a": 1, "b": 2, "c": 1.0}, "a"),)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(({"x": 1}, [1], {"y": 2}), {"x": 1, "y": 2}), (([1], {"x": 1}, [2]), [1, 2]), ((1, [1], 1), 1)],
)
def test_deep_merge_of_unlike_values(values: tuple[JsonValue, ...], expected: JsonValue) -> None:
    """A map here and a list there: the first one's sort wins, and it is reported."""
    merged = _merge("deep_merge").merge(_given(*({"f": value} for value in values)))
    assert merged.value == {"f": expected}
    assert merged.conflicts == (Conflict("f", dict(zip(BRANCHES, values, strict=True)), "a"),)


@pytest.mark.parametrize(
    ("rule", "values", "expected", "chosen"),
    [
        ("plan_order", (2, 1, 3), 2, "a"),
        ("plan_order", ({"x": 1}, {"y": 1}, None), {"x": 1}, "a"),
        ("last", (2, 1, 3), 3, "c"),
        ("last", ([1], [2], None), [2], "b"),
        ("min", (2, 1, 1.0), 1, "b"),
        ("max", (2, 3, 3.0), 3, "b"),
        ("max", ("2024-01-01", "2025-01-01", None), "2025-01-01", "b"),
        ("sum", (1, 2, 3), 6, ""),
        ("sum", (0.1, 0.2, 0.3), 0.6, ""),
        ("sum", (1e308, 1e308, -1e308), 1e308, ""),
        ("sum", ((1 << 53) + 1, 1.0, None), 9007199254740994.0, ""),
        ("replace", ([1], [2, 3], None), [2, 3], "b"),
        ("concat", ([2, 1], [1], [2.0]), [2, 1, 1, 2], None),
        ("union", ([2, 1, 1], [1, True], [2.0]), [2, 1, True], None),
        ("union", ([{"x": 1, "y": 2}], [{"y": 2, "x": 1.0}], [[1], [1]]), [{"x": 1, "y": 2}, [1]], None),
        ("error", (1, 1.0, 1), 1, None),
        ("sum", (5, None, None), 5, None),
    ],
)
def test_deep_merge_rules(rule: str, values: tuple[JsonValue, ...], expected: JsonValue, chosen: str | None) -> None:
    """Each rule's value, and what it reports: the branch chosen, "" for a combination, nothing where nothing is lost."""
    merged = _merge("deep_merge", {"m.f": rule}).merge(_given(*({"m": {"f": value}} for value in values)))
    assert merged.value == {"m": {"f": expected}}
    real = {branch: value for branch, value in zip(BRANCHES, values, strict=True) if value is not None}
    assert merged.conflicts == (() if chosen is None else (Conflict("m.f", real, chosen),))


@pytest.mark.parametrize(
    ("rule", "values", "error"),
    [
        ("error", (1, 2), "f: a, b disagree"),
        ("min", (1, "x"), "f: a, b are numbers and strings, which have no order"),
        ("sum", ((1 << 64) - 1, 1), "f: a, b add up to more than 64 bits hold"),
        ("sum", (-(1 << 63), -1), "f: a, b add up to more than 64 bits hold"),
        ("sum", (1.7e308, 1.7e308), "f: a, b add up to more than a double holds"),
    ],
)
def test_deep_merge_rules_without_an_answer(rule: str, values: tuple[JsonValue, ...], error: str) -> None:
    """No value then, an error that names path and branches, and the values as a conflict of which none was chosen."""
    merged = _merge("deep_merge", {"f": rule}).merge(_given(*({"f": value} for value in values)))
    assert merged == Merged(None, (Conflict("f", dict(zip(BRANCHES, values, strict=False)), ""),), (), error)


def test_sums_reach_to_the_end_of_both_integer_types() -> None:
    """uint64 and int64 are the range of numbers."""
    assert _value("deep_merge", {"f": (1 << 64) - 2}, {"f": 1}, options={"f": "sum"}) == {"f": (1 << 64) - 1}
    assert _value("deep_merge", {"f": 1 - (1 << 63)}, {"f": -1}, options={"f": "sum"}) == {"f": -(1 << 63)}


def test_deep_merge_fills_with_defaults_last() -> None:
    """A default neither beats nor joins a real value, wherever it stands; it is named only if it gave something."""
    given = _given(
        {"x": 9, "l": [9], "m": {"p": 9, "q": 9}}, {"x": 1, "l": [1], "m": {"p": 1, "q": None}}, {"x": 5}, default="ac"
    )
    assert _merge("deep_merge").merge(given) == Merged({"x": 1, "l": [1], "m": {"p": 1, "q": 9}}, (), ("a", "b"))
    assert _value("deep_merge", {"x": 1}, None, default="b") == {"x": 1}


@pytest.mark.parametrize(
    ("rule", "value", "why"),
    [
        ("sum", True, "a.m.f: sum needs numbers, not a boolean"),
        ("min", [1], "a.m.f: min needs numbers or strings, not a list"),
        ("max", {}, "a.m.f: max needs numbers or strings, not a map"),
        ("concat", "x", "a.m.f: concat needs lists, not a string"),
        ("union", 1, "a.m.f: union needs lists, not a number"),
        ("replace", 1, "a.m.f: replace needs lists, not a number"),
        ("sum", 1.5, None),
        ("sum", None, None),
        ("min", "x", None),
        ("concat", [], None),
        ("last", "x", None),
    ],
)
def test_deep_merge_says_which_field_does_not_fit_its_rule(rule: str, value: JsonValue, why: str | None) -> None:
    """A branch is judged when it answers, so that one bad answer does not take the result down."""
    merge = _merge("deep_merge", {"m.f": rule})
    assert merge.accepts("a", {"m": {"f": value}}) == why
    assert merge.accepts("a", {"m": 1}) is None
    assert merge.accepts("a", 1) == "a is a number, and only maps can be merged by field"


def test_concat_joins_lists_in_plan_order() -> None:
    """Duplicates stay; null adds nothing; a default's items stand in its branch's place."""
    assert _merge("concat").merge(_given([2], None, [1, 2], default="a")) == Merged([2, 1, 2], (), BRANCHES)


def test_union_keeps_each_item_once() -> None:
    """Equal as JSON is equal: 1 and 1.0, but not true; items of defaults come last."""
    assert _value("union", [1, True], [1.0, {"x": 1}], [{"x": 1.0}, None]) == [1, True, {"x": 1}, None]
    assert _value("union", ["d", "r"], ["r"], default="a") == ["r", "d"]
    assert _value("union", None, ["r"]) == ["r"]


def test_union_by_key_keeps_the_first_and_reports_the_rest() -> None:
    """Items of one key are one item; a default's never counts against a real one; without the key the whole item counts."""
    first, other, keyless = {"hit": {"id": 7}, "n": 1}, {"hit": {"id": 7}, "n": 2}, {"hit": 3}
    merged = _merge("union", {"key": "hit.id"}).merge(_given([first, keyless], [other, keyless, "x"], [other], default="c"))
    assert merged.value == [first, keyless, "x"]
    assert merged.conflicts == (Conflict("[hit.id=7]", {"a": first, "b": other}, "a"),)


def test_a_conflict_of_union_is_named_as_the_first_writes_its_key() -> None:
    """1 and 1.0 are one key; how a later branch or a default writes it changes nothing that is reported."""
    first, other, spare = {"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 1.0, "n": 3}
    merge = _merge("union", {"key": "id"})
    assert (
        merge.merge(_given([first], [other], [spare], default="c")).conflicts == merge.merge(_given([first], [other])).conflicts
    )
    assert merge.merge(_given([first], [spare])).conflicts == (Conflict("[id=1]", {"a": first, "b": spare}, "a"),)


@pytest.mark.parametrize("kind", ["collect", "namespace", "overlay", "deep_merge", "concat", "union"])
def test_merges_that_read_fields_refuse_opaque_values(kind: str) -> None:
    """What nobody can open cannot be part of a JSON result."""
    assert _merge(kind).needs_fields
    assert (_merge(kind).accepts("a", BLOB) or "").startswith("a is an opaque image/png")


@pytest.mark.parametrize("kind", ["first", "priority"])
def test_whole_value_merges_take_opaque_values(kind: str) -> None:
    """They carry it untouched."""
    assert _merge(kind).accepts("a", BLOB) is None
    assert _value(kind, BLOB, None) in (BLOB, None)


@pytest.mark.parametrize(
    ("kind", "empty"), [("overlay", {}), ("deep_merge", {}), ("concat", []), ("union", []), ("collect", {})]
)
def test_nothing_to_merge(kind: str, empty: JsonValue) -> None:
    """No inputs give the empty value of the kind."""
    assert _merge(kind).merge([]) == Merged(empty)


@pytest.mark.parametrize(
    ("kind", "options", "path", "message"),
    [
        (
            "deep_mrege",
            None,
            (),
            "no merge 'deep_mrege', did you mean 'deep_merge'; there are best_confidence, collect, concat,",
        ),
        ("zzz", None, (), "no merge 'zzz'; there are best_confidence"),
        ("collect", {"x": 1}, (), "collect takes no options; write `merge: collect`"),
        ("first", [], (), "first takes no options"),
        ("overlay", 1, (), "overlay takes no options"),
        ("concat", "x", (), "concat takes no options"),
        ("priority", "a", (), "expected a list of branches"),
        ("priority", ["a", "d"], (1,), "no branch 'd'; there are a, b, c"),
        ("priority", ["a", "a"], (1,), "a is listed twice"),
        ("namespace", ["a"], (), "expected a map from branch to key"),
        ("namespace", {"d": "x"}, ("d",), "no branch 'd'"),
        ("namespace", {"a": ""}, ("a",), "expected a key"),
        ("deep_merge", [], (), "expected a map from dotted path to rule"),
        ("deep_merge", {"x": "lst"}, ("x",), "no rule 'lst', did you mean 'last'; there are plan_order, last"),
        ("deep_merge", {"x": {"y": "last"}}, ("x",), "no rule {'y': 'last'}; there are"),
        ("deep_merge", {"x..y": "last"}, ("x..y",), "expected field names with dots"),
        ("deep_merge", {"x": "last", "x.y": "min"}, ("x.y",), "a field above it has the rule last"),
        ("deep_merge", {"x.y": "last", "x": "min"}, ("x",), "fields below it have rules"),
        ("union", "id", (), "expected {key: a dotted path}"),
        ("union", {"by": "id"}, ("by",), "no such option; there is key"),
        ("union", {"key": 1}, ("key",), "expected a dotted path"),
        ("union", {"key": "a..b"}, ("key",), "expected a dotted path"),
    ],
)
def test_options_that_are_not_understood(kind: str, options: JsonValue, path: tuple[str, ...], message: str) -> None:
    """The error leads to the place and says what would be right there."""
    with pytest.raises(MergeError) as caught:
        _merge(kind, options)
    assert caught.value.path == path
    assert caught.value.message.startswith(message)
    assert str(caught.value).endswith(caught.value.message)


def test_a_merge_is_compiled_once_per_plan() -> None:
    """Every request of a plan asks for the same one; the memory of them is bounded, and forgetting changes nothing."""
    merge = _merge("deep_merge", {"x": "last"})
    assert _merge("deep_merge", {"x": "last"}) is merge
    assert _merge("deep_merge", {"x": "last"}, ("a",)) is not merge
    for number in range(300):
        _merge("collect", None, (f"n{number}",))
    assert _merge("deep_merge", {"x": "last"}).merge(_given({"x": 1}, {"x": 2})).value == {"x": 2}


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0.0, -0.0), ({"a": 1, "b": 1}, {"b": 1, "a": 1})])
def test_options_that_are_only_equal_are_not_the_same(one: JsonValue, other: JsonValue) -> None:
    """A function is given those of its own plan: it may look at what JSON takes for one number, or at the order of keys."""

    def echo(_answers: object, options: JsonValue) -> str:
        return json.dumps(options)

    for option in (one, other):
        merge = compile_merge(MergeSpec("custom", {"call": "m:f", "options": option}, echo), BRANCHES)
        assert merge.merge([]).value == json.dumps(option)


def test_the_schema_lists_every_file_of_the_catalogue() -> None:
    """By name alone, or one name with its own options."""
    schema = merge_schema()
    by_name, with_options = schema["anyOf"]  # type: ignore[misc]
    files = sorted(path.stem for path in Path(merges.__file__).parent.glob("[!_]*.py"))
    assert list(with_options["properties"]) == files
    assert by_name == {"type": "string", "enum": [name for name in files if name not in {"custom", "synthesize"}]}
    assert {"collect", "join_by_key", "vote"} < set(files)
    assert with_options["properties"]["union"]["properties"]["key"]["type"] == "string"
