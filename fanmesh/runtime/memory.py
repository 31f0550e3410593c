"""How much memory this process has: the one number by which the kernel decides to kill it.

Read from /proc and not through psutil: one file of forty bytes, and no dependency for it. At most every 250 ms, because it is
asked for with every request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fanmesh.model.times import MS

EVERY: Final = 250 * MS

STATM: Final = Path("/proc/self/statm")


class Memory:
    """The resident memory of this process. `now` in ns; `read` gives bytes."""

    __slots__ = ("_next", "_now", "_read", "_used")

    def __init__(self, now: Callable[[], int], read: Callable[[], int] | None = None) -> None:
        self._now = now
        self._read = read or reader()
        self._used = 0
        self._next: int | None = None

    @property
    def used(self) -> int:
        """Bytes, as of at most 250 ms ago."""
        now = self._now()
        if self._next is None or now >= self._next:
            self._used = self._read()
            self._next = now + EVERY
        return self._used


def reader(statm: Path = STATM) -> Callable[[], int]:
    """What reads it on this system: the file `statm` if it is there, else the most that there ever was, else nothing (0)."""
    if statm.exists():
        page = os.sysconf("SC_PAGE_SIZE")
        return lambda: int(statm.read_bytes().split()[1]) * page
    try:
        import resource  # noqa: PLC0415  (not on every system)
    except ImportError:
        return lambda: 0
    unit = 1 if sys.platform == "darwin" else 1024
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
