"""The caches of a process, one for each branch that has one.

Kept by plan and branch, like books by worker: a reload that changes nothing for a branch leaves its answers where they are. One
that changes who answers, or what makes calls equal, drops them: under the same key stands another answer now. A request that
began before the reload goes on with what it began with, so it must neither read nor write what belongs to the new one: it finds
no cache.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.model.plan import Node, Plan
from dispatcher.policies.cache import Store
from dispatcher.policies.coalescing import Flights


class Cache:
    """One branch's. `counts`: how often what came of asking; `node` is the branch as it is configured now."""

    __slots__ = ("counts", "flights", "node", "store")

    def __init__(self, node: Node, counts: dict[str, int] | None = None) -> None:
        if node.cache is None:
            raise ValueError(f"{node.id} has no cache")
        self.node = node
        self.store = Store(node.cache)
        self.flights = Flights()
        self.counts: dict[str, int] = {} if counts is None else counts

    def fits(self, node: Node) -> bool:
        """Whether its answers are those that this node would get."""
        return node is self.node or _makes(node) == _makes(self.node)

    def count(self, result: str) -> None:
        """Count what came of asking."""
        self.counts[result] = self.counts.get(result, 0) + 1


class Caches:
    """All of a process, by plan and branch."""

    __slots__ = ("branches", "known")

    def __init__(self) -> None:
        self.branches: dict[tuple[str, str], Cache] = {}
        self.known = False  # which branches have one; until a reload says so, it is those that ask

    def of(self, plan: str, node: Node) -> Cache | None:
        """The cache of a branch that has one; None: by now there is one of a newer configuration, or none any more."""
        key = plan, node.id
        cache = self.branches.get(key)
        if cache is None:
            if self.known:
                return None
            cache = self.branches[key] = Cache(node)
        return cache if cache.fits(node) else None

    def reloaded(self, plans: Iterable[Plan]) -> None:
        """These are the plans from now on. Each branch has its cache at once, so that no older request makes one for it."""
        before, self.branches, self.known = self.branches, {}, True
        for plan in plans:
            for node in plan.nodes:
                if node.cache is not None:
                    self.branches[plan.name, node.id] = _carried(before.get((plan.name, node.id)), node)


def _carried(cache: Cache | None, node: Node) -> Cache:
    """The cache that a branch had before, or a new one; what was counted is carried on."""
    if cache is None:
        return Cache(node)
    if not cache.fits(node):
        return Cache(node, cache.counts)
    cache.node = node
    return cache


def _makes(node: Node) -> tuple[object, ...]:
    """What makes an answer under a key what it is, and what is kept of it. How a call is retried or merged does not."""
    worker = node.worker
    who = worker.name, worker.target, worker.endpoints, worker.method
    return node.cache, who, worker.attributes, worker.metadata
