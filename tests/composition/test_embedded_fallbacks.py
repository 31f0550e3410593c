"""Plans written in Python have fallbacks, too: local coroutines behind each other, and one that makes one answer of all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.embedded import Branch, Fanmesh, Plan
from fanmesh.model.fault import Fault
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.result import Result

pytestmark = pytest.mark.asyncio


async def broken(_: Any) -> None:
    """Fails."""
    raise Fault.internal("disk full")


async def silent(_: Any) -> None:
    """Never answers."""
    await asyncio.get_running_loop().create_future()


async def backup(given: Any) -> dict[str, Any]:
    """Answers with what it was sent."""
    return {"backup": given}


@pytest.mark.parametrize(
    ("first", "reason"), [(broken, BranchReason.WORKER_ERROR), (silent, BranchReason.HARD_TIMEOUT)], ids=["fails", "hangs"]
)
async def test_a_coroutine_stands_in_for_another(first: Any, reason: BranchReason) -> None:
    """A worker that fails, or is cancelled at its timeout; a coroutine's own time ends by its attempt's timer."""
    plan = Plan("p", {"a": Branch(worker="first", timeout="20ms", fallback={"worker": "backup"})}, latency="20s")
    async with Fanmesh(plan, local={"first": first, "backup": backup}) as mesh:
        result: Result[Any] = await mesh.dispatch("p", {"n": 1})
    row = result.report["a"]
    assert (result.value, row.state, row.reason, row.worker) == (
        {"a": {"backup": {"n": 1}}},
        BranchState.FELL_BACK,
        reason,
        "backup",
    )
    assert [one.worker for one in row.attempts] == ["first", "backup"]


async def test_a_coroutine_makes_one_answer_of_all() -> None:
    """`merge: {synthesize: …}` with a local worker."""
    merge = {"synthesize": {"worker": "backup", "min_time": "1s"}}
    plan = Plan(
        "p", {"a": Branch(worker="backup", input="${input.n}"), "b": Branch(worker="broken")}, latency="20s", merge=merge
    )
    async with Fanmesh(plan, local={"broken": broken, "backup": backup}) as mesh:
        result: Result[Any] = await mesh.dispatch("p", {"n": 1})
    assert result.value == {"backup": {"a": {"backup": 1}}}
