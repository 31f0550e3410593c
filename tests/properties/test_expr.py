from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from fanmesh.expr import EvalError, ExprError, Scope, compile_condition, compile_template
from tests.kit.effort import tries

ATTRIBUTES = ("task", "risk", "user")
BRANCHES = ("small", "geo", "rates")
SCOPE = Scope(frozenset(ATTRIBUTES), frozenset(BRANCHES))
INPUT = compile_template("${input}", SCOPE)

safe_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | safe_text
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(safe_text, inner, max_size=4), max_leaves=12
)
anything = st.recursive(
    scalars | st.text() | st.integers() | st.floats() | st.binary() | st.decimals() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=12,
)

# A condition as its text and what it reads, built from leaves that are reads and leaves that only look like reads.
reading = st.one_of(
    st.sampled_from(ATTRIBUTES).map(lambda name: (f'attributes.{name} != "x"', {name}, set[str]())),
    st.sampled_from(BRANCHES).map(lambda branch: (f"branches.{branch}.ok", set[str](), {branch})),
    st.sampled_from(BRANCHES).map(lambda branch: (f"branches . {branch}.confidence < 0.5", set[str](), {branch})),
    st.sampled_from(BRANCHES).map(lambda branch: (f"has(branches.{branch}.output.x)", set[str](), {branch})),
)
looking = st.sampled_from(BRANCHES + ATTRIBUTES).map(
    lambda name: (
        f'"branches.{name}.ok attributes.{name}" != "" && [{{"{name}": true}}].all(attributes, attributes.{name})',
        set[str](),
        set[str](),
    )
)
conditions = st.recursive(
    reading | looking,
    lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(
        lambda parts: (f"({parts[0][0]} {parts[1]} {parts[2][0]})", parts[0][1] | parts[2][1], parts[0][2] | parts[2][2])
    ),
    max_leaves=5,
)


def mistake_in(compiler: Callable[[str, Scope], object], source: str) -> ExprError | None:
    """The error of compiling `source`, or None if it compiles."""
    try:
        compiler(source, SCOPE)
    except ExprError as error:
        return error
    return None


def same(left: object, right: object) -> bool:
    """Equality that tells 1, 1.0 and True apart, at every depth."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@given(json_values)
def test_json_comes_back_unchanged(value: object) -> None:
    """`${input}` gives back any JSON value with every type kept: ints ints, doubles doubles."""
    assert same(INPUT.evaluate({"input": value}), value)


@given(anything)
def test_no_data_raises(value: object) -> None:
    """Whatever Python value is bound, evaluation returns a value or an EvalError."""
    for template in (INPUT, compile_template("a ${input.x} ${size(input)}", SCOPE)):
        template.evaluate({"input": value, "attributes": value, "branches": value})
    answer = compile_condition("branches.geo.output.x == attributes.task || input.y", SCOPE).evaluate(
        {"input": value, "attributes": {"task": value}, "branches": {"geo": {"output": value}}}
    )
    assert isinstance(answer, (bool, EvalError))


@given(conditions)
@settings(max_examples=tries(60))
def test_reads_are_exactly_what_is_read(condition: tuple[str, set[str], set[str]]) -> None:
    """Reads are found however they are nested, and look-alikes in strings and macros are not; unbound data decides it."""
    source, attributes, branches = condition
    compiled = compile_condition(source, SCOPE)
    assert compiled.reads_attributes == attributes
    assert compiled.reads_branches == branches
    assert isinstance(compiled.evaluate({}), bool)


@given(st.text(st.sampled_from("abinput.x(){}[]\"'\\`$/ \n+!&|?:,1r\0é\ud800attributes.task")))
def test_no_text_crashes_the_compiler(source: str) -> None:
    """Any text compiles or is an ExprError whose caret lies inside it."""
    for compiler in (compile_condition, compile_template):
        mistake = mistake_in(compiler, source)
        if mistake is not None:
            assert 0 <= mistake.offset <= len(mistake.source)
            assert mistake.pretty().endswith("^")


@given(safe_text)
def test_escaped_text_is_literal(text: str) -> None:
    """`$${` anywhere in a text is a literal `${`, and the text a constant."""
    text = text.replace("$", "")
    template = compile_template(f"{text}$${{{text}", SCOPE)
    assert template.is_constant
    assert template.evaluate({}) == f"{text}${{{text}"


@given(st.lists(safe_text | st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=5))
def test_joined_text_is_the_concatenation(values: list[str | int]) -> None:
    """Several `${…}` in a row give the concatenation of their texts."""
    template = compile_template("".join(f"${{input[{i}]}}" for i in range(len(values))), SCOPE)
    assert template.evaluate({"input": values}) == "".join(map(str, values))


@given(safe_text)
def test_braces_and_quotes_inside_strings_do_not_end_an_expression(text: str) -> None:
    """A CEL string literal with any content is read to its own end."""
    literal = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    assert compile_template(f'<${{"{literal}"}}>', SCOPE).evaluate({}) == f"<{text}>"


@given(st.sampled_from(BRANCHES + ATTRIBUTES), st.integers(0, 20), st.characters(categories=["Ll"], max_codepoint=122))
def test_typos_are_caught(name: str, at: int, letter: str) -> None:
    """A declared name with one letter more is refused at load, with the caret under it and the right name as the advice."""
    at %= len(name) + 1
    wrong = name[:at] + letter + name[at:]
    source = f"branches.{wrong}.ok" if name in BRANCHES else f'attributes.{wrong} == ""'
    mistake = mistake_in(compile_condition, source)
    assert mistake is not None
    assert mistake.offset == source.index(".") + 1
    assert f"did you mean '{name}'?" in mistake.message
