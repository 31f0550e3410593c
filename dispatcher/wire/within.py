"""The timer of an attempt that runs in this process. A gRPC call has its own, on both sides; a coroutine has only this one.

Needed only where an attempt's time is shorter than its branch's (`per_try_timeout`): the branch's end is flow's alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from dispatcher.flow.ports import Clock
from dispatcher.layers.types import Attempt
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome


async def within(attempt: Attempt, call: Coroutine[Any, Any, Outcome], clock: Clock) -> Outcome:
    """`call`, or LOCAL_TIMEOUT at the attempt's deadline: it is cancelled then, in this task."""
    task = asyncio.current_task()
    if attempt.deadline >= attempt.run.deadline or task is None:
        return await call
    before, fired = task.cancelling(), False

    def fire() -> None:
        nonlocal fired
        fired = attempt.stopped = True
        task.cancel()

    timer = clock.call_at(attempt.deadline, fire)
    try:
        outcome = await call
    except asyncio.CancelledError:
        if not fired or task.uncancel() > before:
            raise  # somebody else has cancelled the branch
        return timed_out()
    except BaseException:
        if fired:
            task.uncancel()  # its clean-up has failed: that must not look like a cancellation by somebody else
        raise
    finally:
        timer.cancel()
    if fired:
        task.uncancel()  # it has swallowed the cancellation, and answered too late
        return timed_out()
    return outcome


def timed_out() -> Fault:
    """The attempt's own time is over."""
    return Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, "no answer in time", origin=Origin.LOCAL, retryable=True)
