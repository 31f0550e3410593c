"""What a hit costs, and a branch that asks its cache in vain, counted and not timed."""

import asyncio
import gc
import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
import uvloop

from bench.kit.plans import Bench
from dispatcher.flow.ports import Reply
from dispatcher.model.caching import CacheRule
from dispatcher.model.plan import Catalogue
from fanmesh.model.times import SECOND

NARROW, WIDE = 10, 50

KINDS = {"a hit": CacheRule(ttl=3600 * SECOND), "a miss": CacheRule(ttl=0, coalesce=False), "a leader": CacheRule(ttl=0)}
ENTERED = {"a hit": 0.75, "a miss": 1.25, "a leader": 1.3}
"""Python functions entered per branch, at most, as a share of those of a branch without a cache."""


def cached(catalogue: Catalogue, rule: CacheRule | None) -> Catalogue:
    """The same plan, each branch with a cache."""
    plan = catalogue.plans["bench"]
    nodes = tuple(replace(node, cache=rule) for node in plan.nodes)
    return replace(catalogue, plans={"bench": replace(plan, nodes=nodes)})


async def warm(branches: int, rule: CacheRule | None) -> Bench:
    """An engine that has had requests."""
    bench = Bench(branches)
    bench._catalogue = cached(bench._catalogue, rule)
    for _ in range(3):
        answered(await bench.request())
    return bench


def answered(reply: Reply) -> None:
    assert reply.report is not None
    assert reply.report.complete


async def calls(branches: int, rule: CacheRule | None) -> int:
    """Python functions entered by one request."""
    bench, entered = await warm(branches, rule), 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(count)
    try:
        answered(await bench.request())
    finally:
        sys.setprofile(None)
    return entered


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def per_branch(rule: CacheRule | None) -> float:
    return (run(calls(WIDE, rule)) - run(calls(NARROW, rule))) / (WIDE - NARROW)


@pytest.mark.parametrize("kind", KINDS)
def test_a_branch_with_a_cache_enters_no_more_functions_than_this(kind: str) -> None:
    """A hit is cheaper than the cheapest call there is, one that is answered from memory; asking in vain costs a quarter."""
    assert per_branch(KINDS[kind]) <= ENTERED[kind] * per_branch(None)


async def garbage(rule: CacheRule) -> int:
    """Objects that one request leaves to the garbage collector."""
    bench = await warm(WIDE, rule)
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    try:
        answered(await bench.request())
        await asyncio.sleep(0)
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_the_garbage_collector(kind: str) -> None:
    """What a branch holds of its cache, and the cache of the branch, is let go of at its end."""
    assert run(garbage(replace(KINDS[kind], stale=SECOND))) == 0
