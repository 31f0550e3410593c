"""CEL in the configuration: checked at load, evaluated over a Reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from dispatcher.config import Config, Problem
from dispatcher.model.plan import Node
from dispatcher.model.reading import Reading, Unreadable
from fanmesh.model.values import Opaque, Value


class Given:
    """An input that says whether it was opened."""

    def __init__(self, value: Value) -> None:
        self.opened = 0
        self._value = value

    @property
    def value(self) -> Value:
        """Counts."""
        self.opened += 1
        return self._value


class MalformedError(ValueError):
    """As the wire raises it."""


class Malformed:
    """An input that cannot be opened."""

    @property
    def value(self) -> NoReturn:
        """Fails."""
        raise MalformedError("input.x")


def node(load: Callable[..., Config], key: str) -> Node:
    return load("required: true", key).catalogue.plans["enrich"].nodes[0]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            'attributes.tsak == "x"',
            "unknown attribute 'tsak'; did you mean 'task'?\n  attributes.tsak == \"x\"\n             ^",
        ),
        ("attributes.task == 1", "cannot take (string, int)\n  attributes.task == 1\n                  ^"),
        ("input.a +", "\n  input.a +\n           ^"),
        ("outptu.a", "unknown name 'outptu'"),
        ("1 + 1", "a condition must give a bool, this gives int"),
        ("", "the expression is empty"),
    ],
)
def test_mistakes_in_conditions_show_a_caret(wrong: Callable[..., list[Problem]], source: str, says: str) -> None:
    """Syntax, unknown names and wrong types are found at load, under the word that is wrong."""
    (problem,) = wrong("required: true", f"if: '{source}'")
    assert problem.path == "plans.enrich.branches.phone.if"
    assert says in problem.message


def test_every_mistake_in_a_template_has_its_path(wrong: Callable[..., list[Problem]]) -> None:
    """Two typos in one mapping are two problems, each where it stands."""
    problems = wrong("required: true", 'input: {a: ["${inptu.x}"], b: "${attributes.x}"}')
    assert [(p.line, p.column, p.path) for p in problems] == [
        (10, 27, "plans.enrich.branches.phone.input.a[0]"),
        (10, 45, "plans.enrich.branches.phone.input.b"),
    ]


def test_an_input_cannot_read_the_output(wrong: Callable[..., list[Problem]]) -> None:
    """There is none yet when it is made."""
    (problem,) = wrong("required: true", 'input: "${output.x}"')
    assert problem.message.startswith("unknown name 'output'")


def test_conditions_decide(load: Callable[..., Config]) -> None:
    """A condition is a function of input and attributes; an attribute that was not sent is empty."""
    condition = node(load, "if: 'has(input.amount) && attributes.task != \"x\"'").condition
    assert condition is not None
    assert condition(Reading(Given({"amount": 1}), {})) is True
    assert condition(Reading(Given({"amount": 1}), {"task": "x"})) is False
    assert condition(Reading(Given({}), {})) is False


def test_templates_fill_in(load: Callable[..., Config]) -> None:
    """`${…}` alone keeps its type; the output may read input and output."""
    phone = node(load, 'input: {n: "${int(input.n)}", lit: 5}, output: {eur: "${output.units * input.n}"}')
    assert phone.input is not None
    assert phone.output is not None
    assert phone.input(Reading(Given({"n": 3.0}), {})) == {"n": 3, "lit": 5}
    assert phone.output(Reading(Given({"n": 3}), {}, {"units": 7})) == {"eur": 21}


def test_what_is_not_read_is_not_opened(load: Callable[..., Config]) -> None:
    """A condition on attributes alone leaves the input unopened."""
    given = Given({})
    condition = node(load, "if: 'attributes.task == \"x\"'").condition
    assert condition is not None
    assert condition(Reading(given, {"task": "x"})) is True
    assert given.opened == 0


@pytest.mark.parametrize("value", [{}, None, [], {"n": "x"}, Opaque("image/png", b"", is_message=False)])
def test_data_that_does_not_fit_is_unreadable(load: Callable[..., Config], value: Value) -> None:
    """A missing field, another type or a blob is a value, never an exception and never true."""
    phone = node(load, 'if: input.n > 1, input: {a: "${input.n + 1}"}')
    assert phone.condition is not None
    assert phone.input is not None
    reading = Reading(Given(value), {})
    assert isinstance(phone.condition(reading), Unreadable)
    assert isinstance(phone.input(reading), Unreadable)


def test_a_malformed_input_is_the_callers_mistake(load: Callable[..., Config]) -> None:
    """What the input raises goes through, so that the request is refused and not the branch skipped."""
    phone = node(load, 'if: input.n > 1, input: {a: "${input.n + 1}"}')
    assert phone.condition is not None
    assert phone.input is not None
    with pytest.raises(MalformedError):
        phone.condition(Reading(Malformed(), {}))
    with pytest.raises(MalformedError):
        phone.input(Reading(Malformed(), {}))


def test_expressions_wait_for_sound_attributes(wrong: Callable[..., list[Problem]]) -> None:
    """If the attributes themselves are wrong, expressions that read them are not blamed."""
    (problem,) = wrong("attributes: [task, risk]", "attributes: task")
    assert problem.path == "attributes"
