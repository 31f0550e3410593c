"""`priority`: the best-placed answer, whole. A default is taken only if nobody answered.

Best placed is first in plan order, or in the order given as options: a plan's order also says how it reads, and changing
who wins should not need to move branches about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy, anything, one_of
from aggregator.engine.whole import chosen
from fanmesh.model.values import JsonValue

KIND: Final = "priority"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "The first answer in plan order, or in the order given here; branches not given follow in plan order.",
    "type": ["array", "null"],
    "items": {"type": "string"},
    "uniqueItems": True,
}


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: branches, best first; the rest follow in plan order."""
    if not isinstance(options, list | None):
        raise MergeError((), "expected a list of branches, best first")
    listed: list[str] = []
    for at, name in enumerate(options or ()):
        branch = one_of(name, branches, "branch", (at,))
        if branch in listed:
            raise MergeError((at,), f"{branch} is listed twice")
        listed.append(branch)
    rank = {branch: at for at, branch in enumerate(dict.fromkeys((*listed, *branches)))}

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        return chosen(sorted(inputs, key=lambda one: (one.defaulted, rank[one.branch])))

    return Strategy(combine, anything, needs_fields=False)
