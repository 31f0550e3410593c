"""CEL in the configuration → callables over a Reading.

The rest of the dispatcher knows conditions and mappings, not the language they are written in. Only what an expression reads
is handed to it: an input that nothing asks for is never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from dispatcher.config.parse import Parsed
from dispatcher.config.problems import Path, shown
from dispatcher.model.reading import Condition, Mapping, Reading, Unreadable
from fanmesh.expr import (
    EvalError,
    ExprError,
    Expression,
    Scope,
    Template,
    compile_condition,
    compile_predicate,
    compile_template,
    type_of,
)
from fanmesh.model.completion import Predicate
from fanmesh.model.values import JsonValue, Opaque

_Source = TypeVar("_Source")
_Compiled = TypeVar("_Compiled", bound=Expression | Template)

BEFORE: Final = frozenset({"input"})
"""What can be read before a branch has answered."""

AFTER: Final = frozenset({"input", "output"})
"""What can be read once it has."""

LISTED: Final = frozenset({"item", "index"})
"""What can be read, too, where a branch is called for each item of a list."""

JUDGING: Final = frozenset({"input", "output", "confidence"})
"""What can be read where an answer is judged."""

_LISTS: Final = frozenset({"dyn", "list"})
"""Types of expressions that are lists, or may be."""


class Asked(NamedTuple):
    """A condition, and the branches that it reads."""

    condition: Condition | None = None
    branches: frozenset[str] = frozenset()


class Mapped(NamedTuple):
    """A mapping, and the branches that it reads."""

    mapping: Mapping | None = None
    branches: frozenset[str] = frozenset()


def condition(source: str | None, path: Path, branches: Iterable[str], parsed: Parsed, bare: frozenset[str] = BEFORE) -> Asked:
    """The condition written at `path`; without one there is none, or it is wrong, which is then in `parsed.problems`.

    `branches`: those that it may read; `bare`: what else besides attributes. What a malformed input raises goes through it:
    that is the caller's mistake, not the expression's.
    """
    if source is None or parsed.is_cut(("attributes",)):
        return Asked()
    expression = _compile(compile_condition, source, bare, path, branches, parsed)
    return Asked(_condition(expression), expression.reads_branches) if expression else Asked()


def predicate(source: str, min_interval: int, path: Path, parsed: Parsed) -> Predicate | None:
    """The predicate written at `path`, like `condition`: as text, since it may be asked in another process. Checked here."""
    if parsed.is_cut(("attributes",)):
        return None
    try:
        found = compile_predicate(source, frozenset(parsed.shape.attributes if parsed.shape else ()))
    except ExprError as error:
        parsed.complain(path, error.pretty())
        return None
    compile_predicate(source, found.reads_attributes)  # as each request will ask for it: the first one need not compile it
    return Predicate(source, tuple(sorted(found.reads_attributes)), min_interval)


def mapping(value: JsonValue, path: Path, branches: Iterable[str], bare: frozenset[str], parsed: Parsed) -> Mapped:
    """The template written at `path`, like `condition`."""
    if value is None or parsed.is_cut(("attributes",)):
        return Mapped()
    template = _compile(compile_template, value, bare, path, branches, parsed)
    return Mapped(_mapping(template), template.reads_branches) if template else Mapped()


def listing(value: JsonValue, path: Path, branches: Iterable[str], parsed: Parsed) -> Mapped:
    """The template of a list written at `path`, like `mapping`. One that can never be a list is wrong, too."""
    found = mapping(value, path, branches, BEFORE, parsed)
    if found.mapping is None and value is not None:
        return found  # nothing is known of it, and why has been said
    if isinstance(value, list):
        return found
    is_not, meant = "is not a list", ""
    if isinstance(value, str):
        scope = Scope(frozenset(parsed.shape.attributes if parsed.shape else ()), frozenset(branches), BEFORE)
        if (kind := type_of(value, scope)) in _LISTS:
            return found
        is_not = f"is {'text' if kind == 'string' else f'of type {kind}'}, not a list"
        meant = _in_braces(value, scope)
    parsed.complain(path, f"{shown(value)} {is_not}", meant or "a list such as ${input.items}")
    return Mapped()


def _in_braces(text: str, scope: Scope) -> str:
    """The text within the `${}` that was forgotten, if it may be a list then; else nothing."""
    try:
        return braced if type_of(braced := f"${{{text}}}", scope) in _LISTS else ""
    except ExprError:
        return ""


def attributes_in(value: JsonValue, branches: Iterable[str], bare: frozenset[str], parsed: Parsed) -> frozenset[str]:
    """The attributes that a template reads; none if it is wrong, which is said where it is compiled to run."""
    declared = frozenset(parsed.shape.attributes if parsed.shape else ())
    try:
        return compile_template(value, Scope(declared, frozenset(branches), bare)).reads_attributes
    except ExprError:
        return frozenset()


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
        return compiler(source, Scope(attributes, frozenset(branches), bare))
    except ExprError as error:
        for one in (error, *error.also):
            parsed.complain((*path, *one.path), one.pretty())
    return None


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
