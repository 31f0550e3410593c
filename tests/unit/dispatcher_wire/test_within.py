"""An attempt's own timer: when it fires, who has cancelled what, and what is left of the task's cancellations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dispatcher.layers.types import Attempt
from dispatcher.wire.within import within
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.testing import VirtualClock, ms, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.story import attempt_of, request_of, run_of

OK = Success(1)
Call = Callable[[], Awaitable[Outcome]]


def attempt(own: int, branch: int = 100) -> Attempt:
    """One that has `own` ms of a branch's `branch`."""
    run = run_of(request_of())
    run.deadline = ms(branch)
    made = attempt_of(run)
    made.deadline = ms(own)
    return made


def limited(call: Call, own: int = 50, *, cancel: int | None = None) -> tuple[Outcome | None, int, int]:
    """Outcome (None: cancelled), virtual ms, cancellations of the task that are left; `cancel`: from outside, in ms."""

    async def one() -> tuple[Outcome | None, int]:
        task = asyncio.current_task()
        assert task is not None
        try:
            outcome = await within(attempt(own), call(), clock)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            return None, task.cancelling()
        return outcome, task.cancelling()

    clock: Any = None

    async def main() -> tuple[Outcome | None, int, int]:
        nonlocal clock
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop)  # type: ignore[arg-type]  # run_virtual's
        task = loop.create_task(one())
        if cancel is not None:
            clock.call_at(ms(cancel), task.cancel)
        outcome, left = await task
        return outcome, loop.now // ms(1), left  # type: ignore[attr-defined]

    return run_virtual(main())


async def answers() -> Outcome:
    """After 20 ms."""
    await virtual_sleep(ms(20))
    return OK


async def hangs() -> Outcome:
    """For ever."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets it")


async def lingers() -> Outcome:
    """Swallows its cancellation for 10 ms, and answers."""
    try:
        return await hangs()
    except asyncio.CancelledError:
        await virtual_sleep(ms(10))
        return OK


async def breaks() -> Outcome:
    """Fails while it cleans up."""
    try:
        return await hangs()
    finally:
        raise ZeroDivisionError


TIMEOUT = (FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED)


@pytest.mark.parametrize(
    ("call", "own", "cancel", "ends", "at", "left"),
    [
        (answers, 50, None, OK, 20, 0),
        (answers, 20, None, OK, 20, 0),  # an answer at the very instant comes before the timer
        (answers, 100, None, OK, 20, 0),  # no timer of its own
        (hangs, 50, None, TIMEOUT, 50, 0),
        (hangs, 50, 30, None, 30, 1),  # the branch was cancelled
        (hangs, 50, 50, None, 50, 1),  # both at once: the branch was cancelled
        (hangs, 100, 60, None, 60, 1),
        (lingers, 50, None, TIMEOUT, 60, 0),  # too late
        (lingers, 50, 55, None, 55, 1),  # cancelled while it lingers
        (lingers, 50, 30, OK, 40, 1),  # it swallows that of somebody else: not ours to take back
        (lingers, 35, 30, None, 35, 1),
    ],
)
def test_how_it_ends(call: Call, own: int, cancel: int | None, ends: Any, at: int, left: int) -> None:
    """LOCAL_TIMEOUT at the attempt's own deadline, and the task is not cancelled by it; anybody else's cancellation stays."""
    outcome, when, cancellations = limited(call, own, cancel=cancel)
    if isinstance(outcome, Fault):
        assert (outcome.kind, outcome.code) == ends
        assert (outcome.sent, outcome.retryable) == (True, True)
    else:
        assert outcome == ends
    assert (when, cancellations) == (at, left)


def test_a_clean_up_that_fails() -> None:
    """The defect comes out, and the timer's cancellation is taken back: nobody has cancelled the branch."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await within(attempt(50), breaks(), VirtualClock(loop))  # type: ignore[arg-type]
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert run_virtual(main()) == 0


def test_the_timer_is_cancelled() -> None:
    """After an answer nothing is left that could cancel the task later."""

    async def main() -> None:
        clock = VirtualClock(asyncio.get_running_loop())  # type: ignore[arg-type]
        assert await within(attempt(50), answers(), clock) == OK
        await virtual_sleep(ms(100))

    run_virtual(main())
