"""Templates: YAML values in which strings may hold `${CEL}`, for `input`, `output`, `estimate` and the like.

Why a string that is exactly one `${…}` keeps the type: mappings carry numbers, lists and null, and gateways that render
everything to text deliver `"<nil>"` and `"[a b]"` to the next service. For the same reason null, lists and maps inside longer
text are errors, not renderings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fanmesh.expr.bind import UnbindableError, bind
from fanmesh.expr.environment import CelType, fast
from fanmesh.expr.errors import EvalError, ExprError
from fanmesh.expr.program import Program, Reads, compile_program
from fanmesh.expr.result import run
from fanmesh.expr.scope import Scope
from fanmesh.expr.split import Code, split
from fanmesh.model.values import JsonValue

MAX_DEPTH: Final = 100  # levels of lists and maps; an aliased YAML node can contain itself

Path: TypeAlias = tuple[str | int, ...]
_Fill: TypeAlias = Callable[[Any], JsonValue]  # from a CEL activation to the value; raises _FailedError


class _FailedError(Exception):
    """An expression inside gave no value: unwinds to `Template.evaluate`, which returns the error it carries."""

    def __init__(self, error: EvalError) -> None:
        self.error = error
        super().__init__(error.message)


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template; made by `compile_template`, may be evaluated from any thread. Equal if value and scope are.

    Attributes:
        value: as written.
        is_constant: there is no `${…}` in it.
    """

    value: JsonValue = field(hash=False)
    scope: Scope
    is_constant: bool = field(compare=False)
    bound: Reads = field(compare=False, repr=False)
    fill: _Fill = field(compare=False, repr=False)

    @property
    def reads(self) -> frozenset[str]:
        """First segments of what is read: bare names, `attributes`, `branches`."""
        return self.bound.roots()

    @property
    def reads_attributes(self) -> frozenset[str]:
        """Attributes read."""
        return self.bound.attributes

    @property
    def reads_branches(self) -> frozenset[str]:
        """Branches read; where one of them is missing, so is this template's value."""
        return frozenset(self.bound.branches)

    def evaluate(self, activation: Mapping[str, object]) -> JsonValue | EvalError:
        """Fills the template; `activation` as in `bind.bind`. Never raises for anything in the data.

        The result shares no list or map with the template or the data. One CEL activation serves all expressions inside, so
        that `input` is converted once however many of them read it.
        """
        try:
            return self.fill(fast(self.scope.bare).Activation(bind(self.bound, activation)) if self.reads else None)
        except UnbindableError as error:
            return EvalError.of(str(error), str(self.value))
        except _FailedError as failed:
            return failed.error


def compile_template(value: JsonValue, scope: Scope) -> Template:
    """Compiles a value; keys, numbers, bools and null are literal, lists and maps are entered.

    Raises:
        ExprError: the first mistake; the others are in its `also`. `path` leads to the string inside `value`.
    """
    errors: list[ExprError] = []
    programs: list[Program] = []
    fill = _compile(value, scope, (), programs, errors)
    if errors:
        first = errors[0]
        raise ExprError(first.message, first.source, first.offset, path=first.path, also=tuple(errors[1:]))
    reads = Reads.of(frozenset().union(*(program.names for program in programs)))
    return Template(value, scope, not programs, reads, fill)


def type_of(text: str, scope: Scope) -> str:
    """The CEL type of what a text becomes as a template, such as `list`; `dyn` if that depends on what it reads.

    Raises:
        ExprError: an expression in it cannot be compiled.
    """
    match split(text):
        case [Code(source=source)]:
            name: str = compile_program(source, scope).result.name()
            return name.lower().partition("<")[0]
        case _:
            return "string"


def _compile(value: JsonValue, scope: Scope, path: Path, programs: list[Program], errors: list[ExprError]) -> _Fill:
    if len(path) > MAX_DEPTH:
        errors.append(ExprError(f"more than {MAX_DEPTH} levels of lists and maps", "", 0, path=path))
        return _literal(None)
    match value:
        case str():
            return _compile_text(value, scope, path, programs, errors)
        case list():
            items = [_compile(item, scope, (*path, i), programs, errors) for i, item in enumerate(value)]
            return lambda cel: [item(cel) for item in items]
        case dict():
            errors.extend(
                ExprError("keys are literal; ${…} is read in values only", key, key.index("${"), path=path)
                for key in value
                if "${" in key
            )
            fields = [(key, _compile(item, scope, (*path, key), programs, errors)) for key, item in value.items()]
            return lambda cel: {key: item(cel) for key, item in fields}
        case _:
            return _literal(value)


def _compile_text(text: str, scope: Scope, path: Path, programs: list[Program], errors: list[ExprError]) -> _Fill:
    try:
        pieces = split(text)
    except ExprError as error:
        errors.append(error.moved(text, 0, path))
        return _literal(None)
    fills: list[_Fill] = []
    for piece in pieces:
        if not isinstance(piece, Code):
            fills.append(_literal(piece))
            continue
        try:
            program = compile_program(piece.source, scope)
            _refuse_type(program.result, piece, alone=len(pieces) == 1)
        except ExprError as error:
            errors.append(error.moved(text, piece.offset, path))
            continue
        programs.append(program)
        fills.append(_value_of(program) if len(pieces) == 1 else _text_of(program))
    if len(fills) == 1:
        return fills[0]
    return lambda cel: "".join([str(fill(cel)) for fill in fills])


def _refuse_type(result: CelType, piece: Code, *, alone: bool) -> None:
    name = result.name().lower()
    if name.startswith(("type", "optional_type")):
        raise ExprError(f"{name} has no JSON form", piece.source, 0)
    if not alone and name.startswith(("list", "map", "null")):
        raise ExprError(f"{name} cannot be put into text; only strings, numbers and bools can", piece.source, 0)


def _literal(value: JsonValue) -> _Fill:
    return lambda _cel: value


def _value_of(program: Program) -> _Fill:
    def fill(activation: Any) -> JsonValue:
        answer = run(program.cel, program.source, activation=activation)
        if isinstance(answer, EvalError):
            raise _FailedError(answer)
        return answer

    return fill


def _text_of(program: Program) -> _Fill:
    value_of = _value_of(program)

    def fill(activation: Any) -> JsonValue:
        match value_of(activation):
            case str() as text:
                return text
            case bool() as flag:
                return "true" if flag else "false"
            case float() as number if number.is_integer() and abs(number) < 2**53:
                return str(int(number))  # JSON has one kind of number; callers who sent 3 do not want to read 3.0
            case int() | float() as number:
                return str(number)
            case other:
                kind = "null" if other is None else f"a {type(other).__name__}"
                raise _FailedError(EvalError.of(f"{kind} cannot be put into text", program.source))

    return fill
