"""What expressions read, and what they give back, without saying which language they are written in.

The input is opened when the first expression asks for it, and not before: most plans route on attributes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Dict
from typing import NamedTuple, Protocol, TypeAlias

from fanmesh.model.values import JsonValue, Value


class Input(Protocol):
    """The request's input, opened at most once."""

    @property
    def value(self) -> Value:
        """The input as a plain value. Raises Malformed, naming the field, if it is none."""
        ...


class Unreadable(NamedTuple):
    """An expression could not be evaluated on this data. A value, not an exception: it is nobody's bug."""

    message: str


class Reading:
    """The variables of one evaluation: `input`, `attributes`, and `output` where an answer is being mapped."""

    __slots__ = ("_input", "attributes", "output")

    def __init__(self, source: Input, attributes: Dict[str, str], output: Value = None) -> None:
        self._input = source
        self.attributes = attributes
        self.output = output

    @property
    def input(self) -> Value:
        """The request's input."""
        return self._input.value


Condition: TypeAlias = Callable[[Reading], bool | Unreadable]
Mapping: TypeAlias = Callable[[Reading], JsonValue | Unreadable]
