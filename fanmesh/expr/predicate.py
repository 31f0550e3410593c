"""Predicates: conditions over the result so far, asked by the fold while a request runs.

One file for the dispatcher and for the Aggregator service, because the same source must mean the same in both: a request whose
aggregator is lost is folded again in the other one. Kept compiled by their text, since it is text that crosses the wire, once
a request, and compiling costs a hundred times as much as evaluating.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from fanmesh.expr.condition import Expression, compile_condition
from fanmesh.expr.scope import Scope
from fanmesh.model.completion import Evaluate, Predicate
from fanmesh.model.values import Opaque, Value

NAMES: Final = frozenset({"merged", "coverage"})
"""What a predicate reads beside attributes: the result so far (any JSON), and how much of the plan is in it (a double)."""

KEPT: Final = 256
"""So many distinct predicates, of all plans of all dispatchers that an aggregator serves, are kept compiled."""


@lru_cache(maxsize=KEPT)
def compile_predicate(source: str, attributes: frozenset[str]) -> Expression:
    """Compiles a predicate that may read `attributes`. Raises ExprError, like `compile_condition`."""
    return compile_condition(source, Scope(attributes, frozenset(), NAMES))


def evaluator(predicate: Predicate, attributes: Mapping[str, str]) -> Evaluate:
    """The predicate of one request. Raises ValueError if its source is no such expression, or reads an unknown name."""
    expression = compile_predicate(predicate.source, frozenset(predicate.reads))
    whole = "merged" in expression.reads

    def evaluate(merged: Callable[[], Value], coverage: float) -> bool | None:
        given: dict[str, object] = {"attributes": attributes, "coverage": coverage}
        if whole:
            value = merged()
            if isinstance(value, Opaque):  # has no fields to read
                return None
            given["merged"] = value
        answer = expression.evaluate(given)
        return answer if isinstance(answer, bool) else None

    return evaluate
