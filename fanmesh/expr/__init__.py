"""CEL expressions: compiled and checked when the configuration is loaded, evaluated by flow as opaque callables.

Why CEL and not a small language of our own: it has a specification, no loops without end, no side effects, linear-time
regular expressions, and people know it from Envoy and Kubernetes. Why not Python's `eval`: a configuration file must never
be able to run code.

Why this package stands between everyone and `cel_expr_python`: that library reports data problems as values which are
truthy, crashes the process on very deep input, and silently cuts strings at a NUL. Here a data problem is an `EvalError`
(falsy, never raised) and a mistake of the author is an `ExprError` with a caret, found at load.
"""

from fanmesh.expr.condition import Expression, compile_condition
from fanmesh.expr.errors import EvalError, ExprError
from fanmesh.expr.predicate import compile_predicate, evaluator
from fanmesh.expr.scope import Scope
from fanmesh.expr.template import Template, compile_template, type_of

__all__ = [
    "EvalError",
    "ExprError",
    "Expression",
    "Scope",
    "Template",
    "compile_condition",
    "compile_predicate",
    "compile_template",
    "evaluator",
    "type_of",
]
