"""How a call ended, as a value: a success or a fault. Exceptions mean bugs or cancellation, never outcomes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from fanmesh.model.fault import Fault
from fanmesh.model.usage import NOTHING, Usage
from fanmesh.model.values import Value


class Success(NamedTuple):
    """An answer. A tuple, because one is made per call and a frozen dataclass costs three times as much.

    `streamed`: the value has already gone through the sink in parts, and `value` is None. `instead`: it is an older answer, and
    this is how the call has failed.
    """

    value: Value
    confidence: float | None = None
    usage: Usage = NOTHING
    labels: dict[str, str] | None = None
    streamed: bool = False
    instead: Fault | None = None


class Part(NamedTuple):
    """A part of a streamed answer, as the leaf hands it to the sink. `replace`: it is the whole answer so far."""

    value: Value
    replace: bool
    seq: int
    confidence: float | None = None
    size: int = 0  # bytes on the wire


Outcome: TypeAlias = Success | Fault
