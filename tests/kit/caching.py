"""Plans with a cache for the Lab, requests that arrive when the test says so, and what came of asking."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Reply
from dispatcher.model.request import Request
from fanmesh.model.outcome import Outcome
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.values import Value
from fanmesh.payload import Box
from fanmesh.testing import Lab, Script, ms
from fanmesh.testing.scripts import PartTaker
from tests.kit.plans import plan


def conf(cache: Mapping[str, Any] | None, *, workers: Any = None, policies: Any = None, **branch: Any) -> dict[str, Any]:
    """A plan of one branch `a` with this cache, within ten seconds."""
    more = {} if cache is None else {"cache": dict(cache)}
    return plan({"a": {**more, **branch}}, workers=workers, policies=policies, latency="10s", attributes=["tenant"])


async def ask(lab: Lab, given: Any = 1, *, after: int = 0, within: int = 9_000, **request: Any) -> Reply:
    """A request that arrives `after` ms and has `within` ms."""
    await asyncio.sleep(after / 1000)
    it = Request(f"r{given}", "p", Box.of(given), lab.clock.now(), remaining=ms(within), **request)
    return await dispatch(lab._engine, lab.config.catalogue, it)


def row(reply: Reply) -> BranchReport:
    """Its branch."""
    assert reply.report is not None
    return reply.report["a"]


def noted(reply: Reply) -> list[tuple[str, str]]:
    """What was decided for its branch."""
    return [(decision.what, decision.why) for decision in row(reply).decisions]


def fate(reply: Reply) -> tuple[BranchState, BranchReason]:
    """How its branch ended."""
    return row(reply).state, row(reply).reason


def counts(lab: Lab) -> dict[str, int]:
    """What came of asking the cache of `a`."""
    return lab.books.caches.branches["p", "a"].counts


def then(*scripts: Script) -> Script:
    """What the worker does at its first call, its second, and so on; the last one from then on."""
    made = iter(range(10_000))

    async def play(given: Value, take: PartTaker) -> Outcome:
        return await scripts[min(next(made), len(scripts) - 1)].play(given, take)

    return Script(play, f"then{scripts!r}")
