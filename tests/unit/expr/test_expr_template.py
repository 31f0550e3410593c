import pytest

from fanmesh.expr import EvalError, ExprError, Scope, compile_template, type_of
from fanmesh.model.values import JsonValue

SCOPE = Scope(frozenset({"task"}), frozenset({"geo"}))
DATA = {"input": {"n": 3, "x": 1.5, "text": "abc", "none": None, "list": [1, {"a": "b"}], "yes": True}}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${input.n}", 3),
        ("${input.x}", 1.5),
        ("${input.none}", None),
        ("${input.list}", [1, {"a": "b"}]),
        ("${input.yes}", True),
        ("${18446744073709551615u}", 2**64 - 1),
        (" ${input.n}", " 3"),
        ("${input.n}${input.n}", "33"),
        ("${input.text}-${input.yes}-${input.x}-${2.0}-${-0.5}-${1e300}", "abc-true-1.5-2-0.5-1e+300".replace("-0.5", "--0.5")),
        ("", ""),
        ("plain }{ $ text", "plain }{ $ text"),
        ("$${input.n}", "${input.n}"),
        ("$$${input.n}", "$${input.n}"),
        ("a$${${input.n}}", "a${3}"),
        ("${'}'}", "}"),
        ("${{'a': {'b': input.n}}.a.b}", 3),
        ("${'''it's }'''}", "it's }"),
        ("${r'\\d}'}", "\\d}"),
        ('${"\\"}"}', '"}'),
        ("${input.n // } \n}", 3),
        ("${size(input.text) / 3}", 1),
        ("${input.?nope.orValue(7)}", 7),
        ("${math.least(input.n, 2)}", 2),
        ("${'AB'.lowerAscii()}", "ab"),
        ("${attributes.task}", ""),
        ("${branches.geo.output}", {}),
        (5, 5),
        (None, None),
        (
            {"from": {"units": "${int(input.n)}"}, "to": ["EUR", "${input.text}", 1]},
            {"from": {"units": 3}, "to": ["EUR", "abc", 1]},
        ),
    ],
)
def test_fills(template: JsonValue, value: JsonValue) -> None:
    """One `${…}` alone keeps its type, several are joined as text, everything else is literal."""
    filled = compile_template(template, SCOPE).evaluate(DATA)
    assert filled == value
    assert type(filled) is type(value)


@pytest.mark.parametrize(
    ("template", "offset", "message"),
    [
        ("ab ${input.n", 3, "${ is never closed"),
        ("ab ${ {'a': 1} ", 3, "${ is never closed"),
        ("ab ${input.n == 'x}", 16, "this string is never closed"),
        ("ab ${attributes.tsk} cd", 16, "unknown attribute 'tsk'; did you mean 'task'?"),
        ("ab ${}", 5, "the expression is empty"),
        ("ab ${[1]}", 5, "list<int> cannot be put into text; only strings, numbers and bools can"),
        ("ab ${null}", 5, "null cannot be put into text; only strings, numbers and bools can"),
        ("${input.?n}", 2, "optional_type<dyn> has no JSON form"),
        ("${type(1)}", 2, "type<int> has no JSON form"),
        ("${1) + (2}", 3, "unexpected ')'"),
    ],
)
def test_mistakes_have_an_offset_in_the_whole_text(template: str, offset: int, message: str) -> None:
    """The caret of a template points into the text the author wrote, not into the piece inside `${…}`."""
    with pytest.raises(ExprError) as caught:
        compile_template(template, SCOPE)
    assert (caught.value.message, caught.value.offset, caught.value.source) == (message, offset, template)


def test_all_mistakes_at_once_with_their_paths() -> None:
    """Every wrong string is reported, each with the keys and indexes that lead to it."""
    with pytest.raises(ExprError) as caught:
        compile_template({"a": ["${x}", "ok"], "b": {"c": "${y} ${attributes.q}"}, "${k}": 1}, SCOPE)
    errors = [caught.value, *caught.value.also]
    assert sorted((error.path, error.message.split(";")[0]) for error in errors if error.path) == [
        (("a", 0), "unknown name 'x'"),
        (("b", "c"), "unknown attribute 'q'"),
        (("b", "c"), "unknown name 'y'"),
    ]
    assert [error.message.split(";")[0] for error in errors if not error.path] == ["keys are literal"]


def test_endless_yaml_is_refused() -> None:
    """A value that contains itself, as YAML aliases allow, is refused instead of recursing."""
    value: list[JsonValue] = []
    value.append(value)
    with pytest.raises(ExprError, match="levels"):
        compile_template(value, SCOPE)


@pytest.mark.parametrize(
    "template", ["${input.nope}", "a ${input.list}", "a ${input.none}", "${input.n / 0}", {"a": ["${input.nope}"]}]
)
def test_data_problems_are_values(template: JsonValue) -> None:
    """A missing key, a list inside text and a division by zero give an EvalError that names the expression."""
    failed = compile_template(template, SCOPE).evaluate(DATA)
    assert isinstance(failed, EvalError)
    assert failed.source.startswith("input.")


def test_unbindable_input_is_a_value() -> None:
    """Data that CEL cannot be given fails the template as a value too."""
    assert isinstance(compile_template("${input.a}", SCOPE).evaluate({"input": {"a": "\0"}}), EvalError)


def test_reads_and_constants() -> None:
    """A template reads what its expressions read; without any it is constant."""
    template = compile_template({"a": "${input.n}", "b": "${attributes.task} ${branches.geo.output.x}"}, SCOPE)
    assert template.reads == {"input", "attributes", "branches"}
    assert template.reads_attributes == {"task"}
    assert template.reads_branches == {"geo"}
    assert not template.is_constant
    assert compile_template({"a": ["$${x}", 1]}, SCOPE).is_constant
    assert not compile_template("${1 + 1}", SCOPE).is_constant


def test_results_share_nothing() -> None:
    """Whoever changes a result changes neither the template nor the next result."""
    template = compile_template({"a": [1]}, SCOPE)
    first = template.evaluate({})
    assert isinstance(first, dict)
    first["a"] = 2
    assert template.evaluate({}) == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("${input.ids}", "dyn"),
        ("${[1, 2]}", "list"),
        ("${size(input.ids)}", "int"),
        ("${'a'}", "string"),
        ("ids: ${input.ids}", "string"),
        ("$${input.ids}", "string"),
        ("", "string"),
    ],
)
def test_the_type_of_a_text_is_known_before_it_is_filled(text: str, kind: str) -> None:
    """That of a lone expression, as far as it does not depend on what it reads; anything else is text."""
    assert type_of(text, SCOPE) == kind
