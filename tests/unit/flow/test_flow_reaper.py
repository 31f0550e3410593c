"""Waiting for what has been left behind; on virtual time."""

from __future__ import annotations

import asyncio

from dispatcher.flow.reaper import TaskReaper
from fanmesh.model.times import SECOND
from fanmesh.testing.loop import VirtualClock, VirtualLoop, run_virtual


async def lasts(seconds: float) -> None:
    """Something that goes on for so long."""
    await asyncio.sleep(seconds)


def loop_and_clock() -> tuple[VirtualLoop, VirtualClock]:
    """Those of the test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop, VirtualClock(loop)


def test_what_is_handed_over_meanwhile_is_waited_for_too() -> None:
    """A request ends while a stop waits for it, and leaves a write: its time is that of a write."""

    async def story() -> None:
        loop, clock = loop_and_clock()
        reaper = TaskReaper()

        async def leaves_a_write() -> None:
            await asyncio.sleep(0.5)
            reaper.detach(asyncio.create_task(lasts(5.0)), clock, 60 * SECOND)

        reaper.adopt([asyncio.create_task(leaves_a_write())])
        assert await reaper.drain(1.0, 20.0) == 0
        assert loop.now == 5_500_000_000

    run_virtual(story())


def test_each_has_its_limit() -> None:
    """Cancelled tasks are waited for as long as `within` says, writes as long as `writes`, from the beginning on."""

    async def story() -> None:
        loop, clock = loop_and_clock()
        reaper = TaskReaper()
        reaper.adopt([asyncio.create_task(lasts(60.0))])
        assert await reaper.drain(2.0, 20.0) == 1
        assert loop.now == 2 * SECOND
        reaper.detach(asyncio.create_task(lasts(60.0)), clock, 100 * SECOND)
        assert await reaper.drain(2.0, 20.0) == 2
        assert loop.now == 22 * SECOND
        assert await reaper.drain(30.0, 20.0) == 2
        assert loop.now == 52 * SECOND

    run_virtual(story())


def test_nothing_to_wait_for() -> None:
    """Takes no time."""

    async def story() -> None:
        loop, _ = loop_and_clock()
        assert await TaskReaper().drain(2.0, 20.0) == 0
        assert loop.now == 0

    run_virtual(story())
