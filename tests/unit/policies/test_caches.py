"""Which cache a branch finds, before and after its configuration has changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatcher.model.caching import CacheRule, Kept
from dispatcher.model.method import Method
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.policy import HEDGED
from dispatcher.policies.caches import Cache, Caches

RULE = CacheRule(ttl=10)
NODE = Node("geo", Worker("w", "w:1"), cache=RULE)


def filled(node: Node = NODE) -> tuple[Caches, Cache]:
    """The caches of a process, with an answer of plan `p`'s branch, and a hit that was counted."""
    caches = Caches()
    cache = caches.of("p", node)
    assert cache is not None
    cache.store.store(b"k", Kept(b"1"), 0)
    cache.count("hit")
    return caches, cache


def test_by_plan_and_branch() -> None:
    """The same worker in another plan, or under another branch, has told them nothing."""
    caches, cache = filled()
    assert caches.of("p", NODE) is cache
    assert caches.of("q", NODE) is not cache
    assert caches.of("p", replace(NODE, id="geo2")) is not cache


SAME = {
    "compiled again": replace(NODE, cache=CacheRule(ttl=10, key=lambda _reading: 1)),
    "retried otherwise": replace(NODE, worker=replace(NODE.worker, policy=HEDGED)),
    "merged otherwise": replace(NODE, output=lambda _reading: 1, required=True, weight=2.0),
}
OTHER = {
    "ttl": replace(NODE, cache=CacheRule(ttl=11)),
    "what makes calls equal": replace(NODE, cache=CacheRule(ttl=10, source="${input.id}")),
    "worker": replace(NODE, worker=Worker("v", "w:1")),
    "target": replace(NODE, worker=Worker("w", "w:2")),
    "endpoints": replace(NODE, worker=Worker("w", "w:1", endpoints=("w:2",))),
    "method": replace(NODE, worker=Worker("w", "w:1", method=Method("a.B/C"))),
    "attributes": replace(NODE, worker=Worker("w", "w:1", attributes=("tenant",))),
    "metadata": replace(NODE, worker=Worker("w", "w:1", metadata=("authorization",))),
}


@pytest.mark.parametrize("node", SAME.values(), ids=SAME)
def test_a_reload_that_changes_nothing_for_its_answers(node: Node) -> None:
    """Leaves them; requests that began before it find them, too."""
    caches, cache = filled()
    caches.reloaded([Plan("p", (node,))])
    assert caches.of("p", node) is caches.of("p", NODE) is cache
    assert cache.node is node
    assert len(cache.store) == 1


@pytest.mark.parametrize("node", OTHER.values(), ids=OTHER)
def test_a_reload_that_changes_who_answers_or_what_is_asked(node: Node) -> None:
    """Drops the answers, and not what was counted. A request that began before it finds no cache: neither reads nor writes."""
    caches, cache = filled()
    caches.reloaded([Plan("p", (node,))])
    new = caches.of("p", node)
    assert new is not None
    assert new is not cache
    assert (len(new.store), new.counts) == (0, {"hit": 1})
    assert caches.of("p", NODE) is None


def test_a_reload_before_the_first_request() -> None:
    """Every branch has its cache at once: a request of the old configuration does not make one for the new."""
    caches, new = Caches(), replace(NODE, cache=CacheRule(ttl=11))
    caches.reloaded([Plan("p", (new, Node("plain", NODE.worker)))])
    assert list(caches.branches) == [("p", "geo")]
    assert caches.of("p", NODE) is None
    assert caches.of("p", new) is not None


def test_a_branch_that_is_gone() -> None:
    """Is forgotten with its answers."""
    caches, _ = filled()
    caches.reloaded([Plan("p", (Node("geo", NODE.worker),))])
    assert caches.branches == {}
    assert caches.of("p", NODE) is None, "a request that began before makes no new one"
    assert caches.branches == {}


def test_a_node_without_a_cache() -> None:
    """Is not asked for: whoever does has forgotten to look."""
    with pytest.raises(ValueError, match="geo has no cache"):
        Caches().of("p", Node("geo", NODE.worker))


def test_counts() -> None:
    """By what came of it."""
    _, cache = filled()
    for result in ("hit", "miss"):
        cache.count(result)
    assert cache.counts == {"hit": 2, "miss": 1}
