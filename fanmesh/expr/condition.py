"""Conditions: bare CEL that must give a bool (`if`, `when`, `stop_if`, routes).

Why a type of its own and not a template that happens to give a bool: a condition's answer decides what is called, so "not a
bool" is an error here, at load where the type is known and at run time where it comes from the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fanmesh.expr.bind import UnbindableError, bind
from fanmesh.expr.environment import BOOL, DYN
from fanmesh.expr.errors import EvalError, ExprError
from fanmesh.expr.program import Program, Reads, compile_program
from fanmesh.expr.result import run
from fanmesh.expr.scope import Scope


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked condition; made by `compile_condition`, may be evaluated from any thread. Equal if text and scope are."""

    source: str
    scope: Scope
    program: Program = field(compare=False, repr=False)
    bound: Reads = field(compare=False, repr=False)

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
        """Branches read; all of them have to have ended before the condition is evaluated."""
        return frozenset(self.bound.branches)

    def evaluate(self, activation: Mapping[str, object]) -> bool | EvalError:
        """Decides; `activation` as in `bind.bind`. Never raises for anything in the data."""
        try:
            data = bind(self.bound, activation)
        except UnbindableError as error:
            return EvalError.of(str(error), self.source)
        match run(self.program.cel, self.source, data=data):
            case bool() | EvalError() as answer:
                return answer
            case other:
                return EvalError.of(f"a condition must give a bool, not {type(other).__name__}", self.source)


def compile_condition(source: str, scope: Scope) -> Expression:
    """Compiles a condition.

    Raises:
        ExprError: the text is no CEL, reads what `scope` does not have, or cannot give a bool.
    """
    program = compile_program(source, scope)
    if program.result not in (BOOL, DYN):
        raise ExprError(f"a condition must give a bool, this gives {program.result.name().lower()}", source, 0)
    return Expression(source, scope, program, Reads.of(program.names))
