"""Files that change, as they change."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from watchfiles import awatch

logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it would log every change of every file beside the watched ones


async def changes(directories: Iterable[Path], wanted: Callable[[Path], bool]) -> AsyncIterator[set[Path]]:
    """The files that `wanted` picks out of what changed in these directories (not below them), a burst at a time.

    Directories and not files are watched: editors save by renaming, and mounted configurations by moving a link.
    """
    places = sorted({directory.resolve() for directory in directories})
    async for burst in awatch(*places, recursive=False, watch_filter=None, step=20, debounce=200):
        changed = {Path(path) for _, path in burst}
        if found := {path for path in changed if wanted(path)}:
            yield found
