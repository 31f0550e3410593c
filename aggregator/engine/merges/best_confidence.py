"""`best_confidence`: the answer whose worker is surest of it, whole.

Confidence is what the worker reports, in [0, 1]; a branch that reports none has 0.0. Ties go to the first in plan order, and
are reported if the answers differ. Below `min` the best answer is still the result (an answer that is flagged is worth more
than none), and the conflict `confidence` says so, with what each branch reported. A default is taken only if nobody answered.

Confidences of different workers are compared as they are: whether they mean the same is the author's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.jsons import canonical
from aggregator.engine.merging import Merged, MergeInput, Strategy, anything
from aggregator.engine.options import Options, schema, share
from aggregator.engine.whole import chosen
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Opaque, Value

KIND: Final = "best_confidence"
SCHEMA: Final = schema(
    "The answer whose worker is surest of it, whole.",
    min=share("A best answer with less confidence is reported as a conflict."),
)


def prepare(options: JsonValue, _branches: Sequence[str]) -> Strategy:
    """Options: min."""
    least = Options(options, SCHEMA).number("min")

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        best_first = sorted(inputs, key=lambda one: (one.defaulted, -one.confidence))  # stable: ties stay in plan order
        merged = chosen(best_first)
        real = [one for one in inputs if not one.defaulted]
        if not real:
            return merged
        best = best_first[0]
        rivals = {_same(one.value) for one in real if one.confidence == best.confidence}
        if best.confidence >= least and len(rivals) == 1:
            return merged
        said: dict[str, JsonValue] = {one.branch: one.confidence for one in real}
        return merged._replace(conflicts=(Conflict("confidence", said, best.branch),))

    return Strategy(combine, anything, needs_fields=False)


def _same(value: Value) -> object:
    return value if isinstance(value, Opaque) else canonical(value)
