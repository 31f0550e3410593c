"""Reading YAML: core schema, places, and texts that mean harm."""

from __future__ import annotations

import pytest

from dispatcher.config.document import MAX_DEPTH, Mark, from_mapping
from dispatcher.config.yaml12 import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("'true'", "true"),
        ("null", None),
        ("~", None),
        ("1_000", "1_000"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("+7", 7),
        ("9007199254740993", 9007199254740993),
        ("18446744073709551615", 18446744073709551615),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!float 5", 5),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ("[]", []),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    """YAML 1.2 core rules, exactly: no yes/no, no octal by leading zero, no underscores, no dates; integers stay exact."""
    document = parse(text, "f")
    assert (document.problems, document.value, type(document.value)) == ([], value, type(value))


def test_every_key_and_value_has_its_place() -> None:
    """Lines and columns count from 1, in block and in flow style, and in lists."""
    document = parse("a: 1\nb:\n  - x\n  - {c: [2, 3]}\nd:\n", "f")
    assert document.value == {"a": 1, "b": ["x", {"c": [2, 3]}], "d": None}
    assert document.values[("a",)] == Mark(1, 4)
    assert document.values[("b", 1, "c", 1)] == Mark(4, 13)
    assert document.keys[("b", 1, "c")] == Mark(4, 6)
    assert document.values[("d",)] == document.keys[("d",)] == Mark(5, 1)


def test_anchors_stand_for_their_values() -> None:
    """An alias is the value it names, and what is wrong in it is shown where it is written."""
    document = parse("a: &x {b: 1}\nc: *x\n", "f")
    assert document.value == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.values[("c", "b")] == Mark(1, 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "f:1:6: not YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)"),
        ("a: 1\nb: c: d", "f:2:5: not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2", "f:2:1 : a second document; expected one document per file"),
        ("a: *x", "f:1:4 a: *x names nothing above it; expected &x before it"),
        ("a: &x [*x]", "f:1:8 a[0]: *x names nothing above it; expected &x before it"),
        ("a: !py/object:os x", "f:1:4 a: the tag !py/object:os is unknown, or does not fit x; expected no tag"),
        ("a: !!int x", "f:1:4 a: the tag tag:yaml.org,2002:int is unknown, or does not fit x; expected no tag"),
        ("a: !!set {b}", "f:1:4 a: the tag tag:yaml.org,2002:set is unknown; expected no tag"),
        ("a: {b: 1, b: 2}", "f:1:11 a.b: the key is given twice"),
        ("a: {1: 2}", "f:1:5 a: the key 1 is not a string; expected a string; quote it"),
        ("a: {[b]: 2}", "f:1:5 a: a list or a mapping is no key; expected a string; quote it"),
        ("a: .inf", "f:1:4 a: inf is not a finite number; expected a finite number"),
        ("a: -.INF", "f:1:4 a: -inf is not a finite number; expected a finite number"),
        ("a: .NaN", "f:1:4 a: nan is not a finite number; expected a finite number"),
        ("a: 1e999", "f:1:4 a: inf is not a finite number; expected a finite number"),
        ("a: 18446744073709551616", "f:1:4 a: the number is too large; expected an integer of at most 64 bits"),
        (f"a: {'9' * 5000}", "f:1:4 a: the number is too large; expected an integer of at most 64 bits"),
        ('a: "\\ud800"', "f:1:4 a: the text holds half of a surrogate pair; expected Unicode text"),
        ('a: "\\U99999999"', "f:1:1: not YAML: Python int too large to convert to C int"),
    ],
)  # fmt: skip
def test_bad_texts_are_refused_where_they_are_bad(text: str, expected: str) -> None:
    """Syntax, tags, duplicate keys and values that JSON cannot carry: one problem each, with its place."""
    (problem,) = parse(text, "f").problems
    assert str(problem) == expected.replace(" :", ":")


def test_depth_is_bounded() -> None:
    """A text of brackets ends in a problem and not in Python's recursion limit."""
    (problem,) = parse("[" * 100_000, "f").problems
    assert problem.message == f"nested deeper than {MAX_DEPTH} levels"


def test_reading_stops_at_a_bound() -> None:
    """A long text of little things is given up before all of it has been parsed."""
    (problem,) = parse("[" + "x," * 60_000, "f").problems
    assert problem.message == "more than 50000 keys and values"


def test_aliases_cannot_blow_up() -> None:
    """A billion laughs: a few lines of aliases that stand for 10^9 values are counted before they are made."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = parse("\n".join(lines), "f").problems
    assert "once aliases are expanded" in problem.message


def test_a_byte_order_mark_is_no_content() -> None:
    """Editors on Windows put one in front."""
    assert parse("\ufeffa: 1", "f").value == {"a": 1}


def test_a_python_mapping_goes_through_the_same_gate() -> None:
    """What JSON cannot carry is refused by path; tuples become lists; the original is not shared."""
    given = {"a": ({"b": 1},), "c": {3: 4}, "d": float("nan"), "e": object()}
    document = from_mapping(given, "here")
    assert document.value == {"a": [{"b": 1}], "c": {}, "d": None, "e": None}
    assert [str(problem) for problem in document.problems] == [
        "here c: the key 3 is not a string",
        "here d: nan is not a finite number; expected a finite number",
        "here e: a Python object is no configuration value; expected strings, numbers, lists and mappings",
    ]
    given["a"][0]["b"] = 2
    assert document.value["a"] == [{"b": 1}]


def test_a_cyclic_mapping_ends() -> None:
    """A mapping that holds itself is too deep, not endless."""
    cyclic: dict[str, object] = {}
    cyclic["a"] = cyclic
    (problem,) = from_mapping(cyclic, "here").problems
    assert problem.message == f"nested deeper than {MAX_DEPTH} levels"
