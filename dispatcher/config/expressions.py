"""CEL in the configuration → callables over a Reading.

The rest of the dispatcher knows conditions and mappings, not the language they are written in. Only what an expression reads
is handed to it: an input that nothing asks for is never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from dispatcher.config.parse import Parsed
from dispatcher.config.problems import Path
from dispatcher.config.reserved import unsupported
from dispatcher.model.reading import Condition, Mapping, Reading, Unreadable
from fanmesh.expr import EvalError, ExprError, Expression, Scope, Template, compile_condition, compile_template
from fanmesh.model.values import JsonValue, Opaque

_Source = TypeVar("_Source")
_Compiled = TypeVar("_Compiled", bound=Expression | Template)

BEFORE: Final = frozenset({"input"})
"""What can be read before a branch has answered."""

AFTER: Final = frozenset({"input", "output"})
"""What can be read once it has."""


def condition(source: str | None, path: Path, branches: Iterable[str], parsed: Parsed) -> Condition | None:
    """The condition written at `path`; None = there is none, or it is wrong, which is then in `parsed.problems`.

    What a malformed input raises goes through it: that is the caller's mistake, not the expression's.
    """
    if source is None or parsed.is_cut(("attributes",)):
        return None
    expression = _compile(compile_condition, source, BEFORE, path, branches, parsed)
    return _condition(expression) if expression else None


def mapping(value: JsonValue, path: Path, branches: Iterable[str], bare: frozenset[str], parsed: Parsed) -> Mapping | None:
    """The template written at `path`, like `condition`. `bare`: what it may read besides attributes."""
    if value is None or parsed.is_cut(("attributes",)):
        return None
    template = _compile(compile_template, value, bare, path, branches, parsed)
    return _mapping(template) if template else None


def _compile(
    compiler: Callable[[_Source, Scope], _Compiled],
    source: _Source,
    bare: frozenset[str],
    path: Path,
    branches: Iterable[str],
    parsed: Parsed,
) -> _Compiled | None:
    attributes = frozenset(parsed.shape.attributes if parsed.shape else ())
    try:
        return compiler(source, Scope(attributes, frozenset(), bare))
    except ExprError as error:
        if staged := _reads_branches(compiler, source, Scope(attributes, frozenset(branches), bare)):
            parsed.complain(path, unsupported(f"reading {staged}, which makes a plan staged,"))
            return None
        for one in (error, *error.also):
            parsed.complain((*path, *one.path), one.pretty())
    return None


def _reads_branches(compiler: Callable[[_Source, Scope], _Compiled], source: _Source, scope: Scope) -> str:
    """The branches that it reads, if it would be right but for them."""
    try:
        return ", ".join(f"branches.{name}" for name in sorted(compiler(source, scope).reads_branches))
    except ExprError:
        return ""


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
