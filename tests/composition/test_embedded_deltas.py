"""Deltas of an engine in the same process: the snapshots that one gets there, with what makes each out of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from dispatcher.embedded import Branch, Fanmesh, Plan
from fanmesh.model.delta import Op, OpKind, fold
from fanmesh.model.states import EmitMode
from fanmesh.result import BranchEvent, Final, Snapshot
from fanmesh.workers import Worker, worker

pytestmark = pytest.mark.asyncio


def words() -> tuple[Worker[Any], asyncio.Semaphore]:
    """Streams a text that is worth adding to, a word each time the semaphore is released, and then ends."""
    go = asyncio.Semaphore(0)

    @worker("words")
    async def stream(_: Any) -> AsyncIterator[dict[str, str]]:
        for word in ("once upon ", "a time ", "there was"):
            await go.acquire()
            yield {"text": word * 4}
        await go.acquire()

    return stream, go


async def streamed(emit: EmitMode, ahead: int = 1) -> list[Any]:
    """All events of a stream; the worker is `ahead` words of its reader."""
    told, go = words()
    events = []
    for _ in range(ahead):
        go.release()
    async with (
        Fanmesh(Plan("p", {"words": Branch()}), local={"words": told}) as mesh,
        aclosing(mesh.stream("p", {}, emit=emit)) as stream,
    ):
        async for event in stream:
            events.append(event)
            go.release()
    return events


async def test_snapshots_say_what_is_new() -> None:
    """The first is the whole, each later one adds to it, folding the operations gives the values; the last is the result."""
    *snapshots, final = await streamed(EmitMode.DELTA)
    assert isinstance(final, Final)
    value: Any = None
    for at, snapshot in enumerate(snapshots):
        assert isinstance(snapshot, Snapshot)
        assert [op.kind for op in snapshot.ops] in ([[OpKind.RESET]] if at == 0 else [[OpKind.APPEND], []])
        value = fold(value, snapshot.ops)
        assert value == snapshot.value
    assert value == final.result.value
    assert snapshots[1].ops == (Op("/words/text", OpKind.APPEND, "a time " * 4),)


async def test_other_streams_have_no_operations() -> None:
    """Snapshots that were asked for as snapshots are values and no more, and branch events are as they were."""
    snapshots = await streamed(EmitMode.SNAPSHOT)
    assert [event.ops for event in snapshots[:-1]] == [()] * 4
    assert {type(event) for event in await streamed(EmitMode.BRANCH_EVENTS, ahead=4)} == {BranchEvent, Final}
