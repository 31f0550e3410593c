"""What the answers of a node's leaves become together: the value that is merged, and that other nodes read.

Here and not in the fold, because the dispatcher feeds other nodes with the same value. A leaf without an answer leaves no gap:
whoever needs to know which item an answer belongs to says so in `output`, or takes MAP.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from fanmesh.model.states import Gather
from fanmesh.model.values import JsonValue, Opaque, Value


def gather(how: Gather, answers: Sequence[tuple[str, JsonValue]]) -> JsonValue:
    """The answers (key, value), which fit, in the order of their items. The result is new, what it is made of is not."""
    match how:
        case Gather.LIST:
            return [value for _, value in answers]
        case Gather.CONCAT:
            return list(chain.from_iterable(value for _, value in answers if isinstance(value, list)))
        case _:  # MAP
            return dict(answers)


def misfit(how: Gather, value: Value) -> str | None:
    """Why an answer cannot be gathered so; None = it can."""
    if isinstance(value, Opaque):
        return f"{value.media_type or 'binary data'} cannot be gathered with other answers"
    if how is Gather.CONCAT and not isinstance(value, list | None):
        return f"gather: concat needs lists, not a {type(value).__name__}"
    return None
