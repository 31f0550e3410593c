import pytest

from fanmesh.expr import EvalError, Scope, compile_template
from fanmesh.model.values import JsonValue


def value_of(source: str) -> object:
    return compile_template("${" + source + "}", Scope()).evaluate({"input": {}})


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("b'ab'", "YWI="),
        ("timestamp('2020-01-01T00:00:00.5+02:00')", "2019-12-31T22:00:00.500000Z"),
        ("duration('90.5s')", "90.5s"),
        ("duration('-1500ms')", "-1.5s"),
        ("duration('2m')", "120s"),
        ("[timestamp('2020-01-01T00:00:00Z'), {'d': duration('1s')}]", ["2020-01-01T00:00:00Z", {"d": "1s"}]),
        ("'a\\x00b'", "a\x00b"),
        ("1u", 1),
        ("-0.0", -0.0),
    ],
)
def test_json_form(source: str, value: JsonValue) -> None:
    """Bytes, times and durations take the JSON form protobuf gives them; numbers keep their kind."""
    out = value_of(source)
    assert out == value
    assert type(out) is type(value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1.0 / 0.0", "not a finite number"),
        ("0.0 / 0.0", "not a finite number"),
        ("[1.0 / 0.0]", "not a finite number"),
        ("{1: 2}", "key that is not a string"),
        ("[{true: 2}]", "key that is not a string"),
        ("[type(1)]", "not JSON"),
        ("[dyn(optional.of(1))]", ""),
        ("dyn(optional.none())", ""),
        ("9223372036854775807 + 1", "integer overflow"),
        ("int('x')", "cannot convert"),
        ("google.protobuf.Any{}", "descriptor"),
        ("{'a': 1, 'a': 2}", "duplicate key"),
        ("input.matches('(')", "No matching overloads"),
    ],
)
def test_no_json_form(source: str, message: str) -> None:
    """What JSON cannot carry, and what CEL cannot compute, is an EvalError without the library's status code."""
    failed = value_of(source)
    assert isinstance(failed, EvalError)
    assert message in failed.message
    assert "INVALID_ARGUMENT" not in failed.message


def test_messages_are_short() -> None:
    """A message that quotes the data is cut."""
    failed = compile_template("${{'a': 1}[input]}", Scope()).evaluate({"input": "x" * 10_000})
    assert isinstance(failed, EvalError)
    assert len(failed.message) == 300
