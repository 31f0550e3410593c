"""Indexes on disk, built once for all processes and all later starts.

Named by what they are made of, the code that makes them included, so that none is ever out of date and none needs a version
number that somebody forgets to raise. A lock and not only a rename: three shards that start at once would build the same index
three times on two cores.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from fanmesh.model.times import SECOND
from fanmesh.runtime import environ
from fanmesh.runtime.clock import now_ns
from fanmesh.runtime.logs import logger
from sample_workers.search import corpus, words

HOME: Final = "FANMESH_SEARCH_CACHE"
"""Where the indexes are; by default `fanmesh/search` below XDG_CACHE_HOME, or below ~/.cache."""


def home() -> Path:
    """The directory, which need not exist yet."""
    fallback = Path(environ.text("XDG_CACHE_HOME") or Path.home() / ".cache") / "fanmesh" / "search"
    return Path(environ.text(HOME, str(fallback)))


def index(name: str, library: str, build: Callable[[Path], None], *made_by: str) -> Path:
    """The directory of an index, which `build` has filled. Whatever that raises leaves nothing behind.

    `library` names the engine with its version, `made_by` are the files of the code that builds.
    """
    place = home() / f"{name}-{_fingerprint(library, made_by)}"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            began = now_ns()
            for left in place.parent.glob(
                f".{name}-*"
            ):  # by a process that was killed as it built; whoever builds has the lock
                shutil.rmtree(left, ignore_errors=True)
            scratch = Path(mkdtemp(prefix=f".{name}-", dir=place.parent))
            try:
                build(scratch)
                scratch.rename(place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            logger(__name__).info("index built", index=name, at=str(place), seconds=round((now_ns() - began) / SECOND, 2))
    return place


def _fingerprint(library: str, made_by: tuple[str, ...]) -> str:
    source = corpus.source()
    made_of = f"{library} {corpus.release(source)} {source.stat().st_size}".encode()
    code = b"".join(Path(file).read_bytes() for file in (corpus.__file__, words.__file__, *made_by))
    return hashlib.sha256(made_of + code).hexdigest()[:12]
