"""What the branch of a `synthesize` reads: all the others, those that are there.

It asks for them as an `if` does, so that none of them makes its input missing: one answer of nine of ten is what it is for.
"""

from __future__ import annotations

from typing import Final

from dispatcher.model.reading import Reading, View
from fanmesh.model.states import BranchState
from fanmesh.model.values import JsonValue, Opaque

ANY_ANSWER: Final = "any other branch has answered, or has a default"
"""Its condition in words."""


def anything_there(reading: Reading) -> bool:
    """Whether there is something to make an answer of."""
    return any(map(_there, reading.branches.values()))


def all_there(reading: Reading) -> JsonValue:
    """Branch → answer, or default, of those that have one, in plan order."""
    found: dict[str, JsonValue] = {}
    for branch, view in reading.branches.items():
        value = view["output"]
        if _there(view) and not isinstance(value, Opaque):
            found[branch] = value
    return found


def _there(view: View) -> bool:
    return view["ok"] or view["state"] == BranchState.DEFAULTED.name
