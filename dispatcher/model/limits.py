"""The largest messages that are taken, checked before anything is queued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes: one part of a stream, all of a branch's answer, the merged reply."""

    part: int = MIB
    branch: int = 8 * MIB
    reply: int = 4 * MIB
