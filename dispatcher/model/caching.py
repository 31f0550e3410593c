"""What is kept of a branch's answers, and for how long, as data: a rule of the configuration, and an answer that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dispatcher.model.reading import Mapping
from fanmesh.model.values import Opaque


class Kept(NamedTuple):
    """An answer as it is kept: the worker's own, before the branch's `output`, and without what it has cost.

    `body` is JSON text, and not the value that was read from it: who is given an answer may change it, and text has a size.
    """

    body: bytes | Opaque
    confidence: float | None = None
    labels: dict[str, str] | None = None

    @property
    def size(self) -> int:
        """In bytes, as it counts against `max_bytes`."""
        body = self.body.data if isinstance(self.body, Opaque) else self.body
        return len(body) + sum(len(name) + len(text) for name, text in (self.labels or {}).items())


@dataclass(frozen=True, slots=True)
class CacheRule:
    """What is done for equal calls of a branch. Times are ns.

    `ttl`: how long an answer is given to those who ask the same; 0 = it is not. `stale`: how long after that it may stand in
    for a call that has failed. `entries`, `size` (bytes): how much is kept at most. `coalesce`: equal calls at the same time
    are one. `key` takes the place of the input in what makes calls equal; `told`: attributes that the input is made of, which
    count beside it. `source` is the text of it and of the branch's `input`: two compiled expressions cannot be compared.
    """

    ttl: int
    stale: int = 0
    entries: int = 1_000
    size: int = 8 * 2**20
    coalesce: bool = True
    key: Mapping | None = field(default=None, compare=False)
    told: tuple[str, ...] = ()
    source: str = ""
