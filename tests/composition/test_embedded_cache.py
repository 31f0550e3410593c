"""A cache in a program: the workers are its own coroutines, and so is whoever changes what they are given."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.embedded import Branch, Fanmesh, Plan
from fanmesh.model.states import BranchState, EmitMode
from fanmesh.result import DispatchFailed, Final
from fanmesh.workers import Context, Fault

pytestmark = pytest.mark.asyncio

TEN_MINUTES = {"ttl": "10m"}


class Rates:
    """A coroutine that says how often it was called, once `open` is set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls = 0
        self.cancelled = 0
        self._called = asyncio.Semaphore(0)

    async def called(self) -> None:
        """Wait for the next call."""
        await self._called.acquire()

    async def __call__(self, data: dict[str, Any], ctx: Context) -> dict[str, Any]:
        """One call."""
        self.calls += 1
        self._called.release()
        ctx.confidence = 0.5
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if data.get("bad"):
            raise Fault.unavailable("as asked")
        return {"call": self.calls, "list": []}


def mesh_of(rates: Rates, cache: Any = None, **branch: Any) -> Fanmesh:
    """An engine with one branch of one coroutine."""

    async def answers(data: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return await rates(data, ctx)

    return Fanmesh(Plan("p", {"rates": Branch(cache=cache or TEN_MINUTES, **branch)}), local={"rates": answers}, policy="none")


async def test_equal_dispatches_call_the_function_once() -> None:
    """Those at the same time share a call, those after it its answer; whoever changes the answer changes only his own."""
    rates = Rates()
    async with mesh_of(rates) as mesh:
        asked = [asyncio.ensure_future(mesh.dispatch("p", {"from": "EUR"})) for _ in range(5)]
        await rates.called()
        rates.open.set()
        results = [await one for one in asked]
        for result in results:
            assert result.value == {"rates": {"call": 1, "list": []}}
            result.value["rates"]["list"].append("mine")
        later = await mesh.dispatch("p", {"from": "EUR"})
        assert later.value == {"rates": {"call": 1, "list": []}}
        assert (later.report["rates"].confidence, later.report["rates"].attempts) == (0.5, ())
        assert (await mesh.dispatch("p", {"from": "USD"})).value["rates"]["call"] == 2
        assert mesh.books.caches.branches["p", "rates"].counts == {"miss": 2, "joined": 4, "hit": 1}


async def test_the_program_gives_up_the_dispatch_that_made_the_call() -> None:
    """Its coroutine is cancelled, and runs anew for those who wait; leaving the engine leaves nothing behind."""
    rates = Rates()
    async with mesh_of(rates) as mesh:
        leader, follower = (asyncio.ensure_future(mesh.dispatch("p", {})) for _ in range(2))
        await rates.called()
        leader.cancel()
        await asyncio.wait([leader])
        await rates.called()
        rates.open.set()
        assert (await follower).value["rates"]["call"] == 2
        assert (rates.cancelled, len(mesh.books.caches.branches["p", "rates"].flights)) == (1, 0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


async def test_a_stream_of_events_begins_and_ends_with_a_hit() -> None:
    """Nothing is sent, so the one event of the branch is its end; a snapshot shows the answer."""
    rates = Rates()
    rates.open.set()
    async with mesh_of(rates) as mesh:
        await mesh.dispatch("p", {})
        events = [event async for event in mesh.stream("p", {}, emit=EmitMode.BRANCH_EVENTS)]
        *branches, final = events
        assert [event.branch.state for event in branches] == [BranchState.SUCCEEDED]  # type: ignore[union-attr]
        assert isinstance(final, Final)
        assert final.result.value["rates"]["call"] == rates.calls == 1


async def test_a_failure_is_not_kept() -> None:
    """Each dispatch calls, and is told."""
    rates = Rates()
    rates.open.set()
    async with mesh_of(rates, {"ttl": "10m", "stale_on_error": "1h", "key": "all"}) as mesh:
        for _ in range(2):
            with pytest.raises(DispatchFailed):
                await mesh.dispatch("p", {"bad": True})
        await mesh.dispatch("p", {})
        assert (await mesh.dispatch("p", {"bad": True})).value["rates"]["call"] == rates.calls == 3
