"""A node that calls its worker once for each item of a list, and what may go wrong with some of them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import Final

from dispatcher.model.reading import Mapping
from fanmesh.model.states import Gather
from fanmesh.model.values import JsonValue


@dataclass(frozen=True, slots=True)
class Each:
    """`items` gives the list, and `key` what makes two items the same (None: their value): those are called once.

    `concurrency`: calls at once, None = all. `most`: items, with more the node fails. `tolerated`: how many may fail (int), or
    which share of them (float); None = none if the node must answer, else all. `canary`: so many are called first, and the
    others only after one of these has answered; 0 = all at once. `source`: of `items`, for people.
    """

    items: Mapping
    key: Mapping | None = None
    gather: Gather = Gather.LIST
    concurrency: int | None = None
    most: int = 1000
    tolerated: int | float | None = None
    canary: int = 0
    source: str = ""

    def allowed(self, items: int, *, must: bool) -> int:
        """How many of so many items may fail."""
        match self.tolerated:
            case None:
                return 0 if must else items
            case float() as share:
                return int(items * share)
            case count:
                return count


LONGEST_KEY: Final = 64
"""Characters. Keys stand in reports, logs and messages to workers; whole documents, which are their own keys, must not."""


def key_text(key: JsonValue) -> str:
    """A key as text: itself, or its JSON; of a long one its beginning, and what tells it from others that begin so."""
    text = key if isinstance(key, str) else dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) <= LONGEST_KEY:
        return text
    return f"{text[: LONGEST_KEY - 17]}…{sha256(text.encode()).hexdigest()[:16]}"
