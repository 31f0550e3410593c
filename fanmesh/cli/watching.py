"""Files that change, as they change."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from watchfiles import awatch

logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it would log every change of every file beside the watched ones

ARMED_AFTER: Final = 500
"""Milliseconds without a change after which the watcher says so."""


async def changes(directories: Iterable[Path], wanted: Callable[[Path], bool]) -> AsyncIterator[set[Path]]:
    """The files that `wanted` picks out of what changed in these directories (not below them), a burst at a time.

    Once, soon after the watch began, an empty set comes: what was saved before that nobody has reported, so look.
    Directories and not files are watched: editors save by renaming, and mounted configurations by moving a link.
    """
    places = sorted({directory.resolve() for directory in directories})
    watched = awatch(
        *places,
        recursive=False,
        watch_filter=None,
        step=20,
        debounce=200,
        rust_timeout=ARMED_AFTER,
        yield_on_timeout=True,
    )
    armed = False
    async for burst in watched:
        if not armed:
            armed = True
            yield set()
        if found := {path for path in (Path(path) for _, path in burst) if wanted(path)}:
            yield found


def stamps(files: Iterable[Path]) -> dict[Path, int]:
    """When each file was last written, in ns; those that are gone are left out."""
    out: dict[Path, int] = {}
    for file in files:
        with suppress(OSError):
            out[file] = file.stat().st_mtime_ns
    return out


def since(before: Mapping[Path, int]) -> set[Path]:
    """The files that were written since their stamps were taken."""
    return {file for file, stamp in stamps(before).items() if stamp != before[file]}
