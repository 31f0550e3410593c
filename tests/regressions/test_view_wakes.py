"""A branch that ended while an earlier event was being sent was not shown until something else happened."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.flow.ports import Reply
from dispatcher.wire.view import View
from fanmesh.model.coverage import Coverage
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState, EmitMode
from fanmesh.runtime.clock import LoopClock


@pytest.mark.asyncio
async def test_a_row_that_comes_during_a_send_is_shown() -> None:
    """The reader is woken for what came while it was busy, though nothing else ever happens."""
    view = View(EmitMode.BRANCH_EVENTS, 0, LoopClock(asyncio.get_running_loop()))
    forever: asyncio.Task[Reply] = asyncio.ensure_future(asyncio.get_running_loop().create_future())
    seen = view.until(forever)
    try:
        for name in ("first", "second"):
            view.branch(BranchReport(name, "w", BranchState.PENDING, BranchReason.NONE), Coverage)
            async with asyncio.timeout(5):
                what, _ = await anext(seen)
            assert isinstance(what, BranchReport)
            assert what.branch == name
    finally:
        forever.cancel()
        await seen.aclose()
