"""What `cache` of a branch means, and where it cannot be meant as written."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

from dispatcher.config.expressions import attributes_in, mapping
from dispatcher.config.parse import Parsed
from dispatcher.config.problems import Path
from dispatcher.config.shape_branches import BranchShape
from dispatcher.config.shape_cache import CacheShape
from dispatcher.model.caching import CacheRule
from dispatcher.model.plan import Effect, Worker


def cache_of(
    branch: BranchShape, worker: Worker, path: Path, known: Collection[str], bare: frozenset[str], parsed: Parsed
) -> tuple[CacheRule | None, frozenset[str]]:
    """The rule of the branch at `path`, and the branches that its key reads; None = it has none.

    `known`: branches that may be read; `bare`: what else. What is wrong is added to `parsed.problems`.
    """
    shape = branch.cache
    if shape is None:
        return None, frozenset()
    where = (*path, "cache")
    _check(shape, worker, where, parsed)
    key = mapping(shape.key, (*where, "key"), known, bare, parsed)
    source = repr((shape.key, branch.input))
    told = () if key.mapping is None else tuple(sorted(attributes_in(branch.input, known, bare, parsed)))
    rule = CacheRule(
        ttl=shape.ttl,
        stale=shape.stale_on_error or 0,
        entries=shape.max_entries,
        size=shape.max_bytes,
        coalesce=shape.coalesce,
        key=key.mapping,
        told=told,
        source=sha256(source.encode()).hexdigest(),
    )
    return rule, key.branches


def _check(shape: CacheShape, worker: Worker, path: Path, parsed: Parsed) -> None:
    if worker.effect is Effect.WRITE:
        message = f"worker {worker.name} writes: a call that is not made writes nothing, however idempotent it is"
        parsed.complain(path, message, "a worker with effect: read, or no cache", at_key=True)
    if worker.streams:
        message = f"worker {worker.name} answers in parts, and answers in parts are not kept by this version"
        parsed.complain(path, message, "a worker without stream, or no cache", at_key=True)
    if shape.ttl == 0 and shape.stale_on_error is None and not shape.coalesce:
        message = "no effect: nothing is kept, and no calls are joined"
        parsed.complain(path, message, "ttl above 0s, or coalesce: true", warning=True, at_key=True)
