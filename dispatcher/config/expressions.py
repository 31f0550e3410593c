"""CEL in the configuration → callables over a Reading.

The rest of the dispatcher knows conditions and mappings, not the language they are written in. Only what an expression reads
is handed to it: an input that nothing asks for is never opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dispatcher.config.parse import Parsed
from dispatcher.config.problems import Path
from dispatcher.config.reserved import unsupported
from dispatcher.model.reading import Condition, Mapping, Reading, Unreadable
from fanmesh.expr import EvalError, Expression, ExprError, Scope, Template, compile_condition, compile_template
from fanmesh.model.values import JsonValue, Opaque

BEFORE: Final = frozenset({"input"})
"""What can be read before a branch has answered."""

AFTER: Final = frozenset({"input", "output"})
"""What can be read once it has."""


def condition(source: str | None, path: Path, branches: Iterable[str], parsed: Parsed) -> Condition | None:
    """The condition written at `path`; None = there is none, or it is wrong, which is then in `parsed.problems`.

    What it makes of a malformed input is the input's own ValueError: that is the caller's mistake, not the expression's.
    """
    if source is None or parsed.is_cut(("attributes",)):
        return None
    try:
        expression = compile_condition(source, _scope(parsed, branches, BEFORE))
    except ExprError as error:
        _complain(error, path, parsed)
        return None
    _refuse_branches(expression, path, parsed)
    return _condition(expression)


def mapping(value: JsonValue, path: Path, branches: Iterable[str], bare: frozenset[str], parsed: Parsed) -> Mapping | None:
    """The template written at `path`, like `condition`."""
    if value is None or parsed.is_cut(("attributes",)):
        return None
    try:
        template = compile_template(value, _scope(parsed, branches, bare))
    except ExprError as error:
        for one in (error, *error.also):
            _complain(one, (*path, *one.path), parsed)
        return None
    _refuse_branches(template, path, parsed)
    return _mapping(template)


def _scope(parsed: Parsed, branches: Iterable[str], bare: frozenset[str]) -> Scope:
    attributes = parsed.shape.attributes if parsed.shape else ()
    return Scope(frozenset(attributes), frozenset(branches), bare)


def _complain(error: ExprError, path: Path, parsed: Parsed) -> None:
    parsed.complain(path, error.pretty())


def _refuse_branches(expression: Expression | Template, path: Path, parsed: Parsed) -> None:
    for branch in sorted(expression.reads_branches):
        parsed.complain(path, unsupported(f"reading branches.{branch} (a staged plan)"))


def _condition(expression: Expression) -> Condition:
    reads = expression.reads

    def decide(reading: Reading) -> bool | Unreadable:
        bound = _bind(reads, reading)
        if isinstance(bound, Unreadable):
            return bound
        answer = expression.evaluate(bound)
        return Unreadable(answer.message) if isinstance(answer, EvalError) else answer

    return decide


def _mapping(template: Template) -> Mapping:
    reads = template.reads

    def fill(reading: Reading) -> JsonValue | Unreadable:
        bound = _bind(reads, reading)
        if isinstance(bound, Unreadable):
            return bound
        answer = template.evaluate(bound)
        return Unreadable(answer.message) if isinstance(answer, EvalError) else answer

    return fill


def _bind(reads: frozenset[str], reading: Reading) -> dict[str, object] | Unreadable:
    bound: dict[str, object] = {}
    for name in reads:
        value = getattr(reading, name)
        if isinstance(value, Opaque):
            return Unreadable(f"{name} is {value.media_type or 'binary'} and has no fields to read")
        bound[name] = value
    return bound
