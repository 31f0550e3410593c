"""What expressions read, and what they give back, without saying which language they are written in.

The input is opened when the first expression asks for it, and not before: most plans route on attributes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Dict
from typing import Final, NamedTuple, Protocol, TypeAlias, TypedDict

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


class View(TypedDict):
    """A branch that has ended, as expressions read it.

    `ok`: it answered, or its fallback did. `state`: the name of its BranchState. `output`: what it gave; a default where one
    stands in, and {} where nothing does. `confidence`: 0.0 if it said none, or did not answer.
    """

    ok: bool
    state: str
    confidence: float
    output: Value


Views: TypeAlias = Dict[str, View]

NO_VIEWS: Final[Views] = {}
"""Of a node that reads no other."""


class Reading:
    """The variables of one evaluation.

    `input`, `attributes`; `branches`: those that are read, all of them ended; `output` where an answer is being mapped;
    `confidence`: how sure that answer is; `item`, `index`: of a list, where the node is called for each.
    """

    __slots__ = ("_input", "attributes", "branches", "confidence", "index", "item", "output")

    def __init__(
        self,
        source: Input,
        attributes: Dict[str, str],
        output: Value = None,
        branches: Views = NO_VIEWS,
        confidence: float = 0.0,
        item: JsonValue = None,
        index: int = 0,
    ) -> None:
        self._input = source
        self.attributes = attributes
        self.output = output
        self.branches = branches
        self.confidence = confidence
        self.item = item
        self.index = index

    @property
    def input(self) -> Value:
        """The request's input."""
        return self._input.value

    def judging(self, view: View) -> Reading:
        """The same, where the answer of `view` is to be judged."""
        return Reading(self._input, self.attributes, view["output"], self.branches, view["confidence"])


Condition: TypeAlias = Callable[[Reading], bool | Unreadable]
Mapping: TypeAlias = Callable[[Reading], JsonValue | Unreadable]
