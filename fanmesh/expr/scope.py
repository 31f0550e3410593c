"""What an expression may read, as names: the one place that says which fields a branch shows to expressions.

Why flat dotted names and not nested types: CEL resolves `branches.geo.ok` to a variable declared under exactly that name. So
declaring the leaves, and nothing above them, types every field, refuses a bare `branches` or `branches.geo`, and lets us ask
"does it still compile without this one name?". Message types would say the same only through generated descriptors, would tie
us to one protobuf runtime, and would accept a bare `branches`.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]*\Z")

DOUBLES: Final = frozenset({"confidence", "coverage"})
"""Bare names that are always doubles, whatever JSON they were sent as."""


class Leaf(Enum):
    """A field of `branches.<id>`; the value is its name in expressions."""

    OK = "ok"
    STATE = "state"
    CONFIDENCE = "confidence"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Scope:
    """The names an expression may read.

    Attributes:
        attributes: declared attributes, read as `attributes.<name>`; always strings, an absent one is "".
        branches: branches that may be read as `branches.<id>.{ok,state,confidence,output}`; empty where none is known yet.
        bare: names that may be read whole, such as `input`, `output`, `item` (any JSON) or one of DOUBLES.

    Raises:
        ValueError: a name is not `[a-z][a-z0-9_]*`, or `bare` holds `attributes` or `branches`, which are never read whole.
    """

    attributes: frozenset[str] = frozenset()
    branches: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset({"input"})

    def __post_init__(self) -> None:
        for name in sorted(self.attributes | self.branches | self.bare):
            if not IDENTIFIER.match(name):
                raise ValueError(f"{name!r} is not an identifier: expected a lower-case letter, then letters, digits and _")
        if whole := self.bare & {"attributes", "branches"}:
            raise ValueError(f"{sorted(whole)} can only be read field by field")

    def names(self) -> frozenset[tuple[str, ...]]:
        """Every readable name as its segments: ("input",), ("attributes", "risk"), ("branches", "geo", "ok")."""
        return frozenset(
            [(name,) for name in self.bare]
            + [("attributes", name) for name in self.attributes]
            + [("branches", branch, leaf.value) for branch in self.branches for leaf in Leaf]
        )
