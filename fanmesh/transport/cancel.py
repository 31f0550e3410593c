"""Ending a grpc.aio call so that nothing stays behind: the one place that touches grpc's private parts.

`call.cancel()` cancels the Python task that waits for the core batch before the core has finished it. The batch then completes
into a future that is gone, and the arrays it filled (about 1 kB) are never freed: upstream issue 43360. Cancelling a task that
awaits the call does the same. Cancelling the *core* call instead makes the batch complete at once, with status CANCELLED, and
the waiting task ends by itself and frees everything. So:

* a unary call is made on the core's object (see `core`), and the task that awaits it cancels nothing else;
* nothing awaits a call of another kind directly, only a shield around a task inside it;
* a call that is given up is cancelled in the core, and its tasks are awaited to their end.

Measured for the versions named below, by the memory test. Other versions get the public, leaking way: private parts whose shape
nobody has looked at are worse than a leak.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc

MEASURED: Final = ((1, 76), (1, 86))
"""From (inclusive), to (exclusive)."""

DETAILS: Final = "cancelled by the caller"


def measured(version: str) -> bool:
    """Whether somebody has looked at the private parts of this grpcio."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return MEASURED[0] <= (major, minor) < MEASURED[1]


def canceller(version: str) -> Callable[[Any], bool]:
    """How a call of this grpcio is cancelled: its core object where that is known, else the public way."""
    return _cancel_core if measured(version) else lambda call: bool(call.cancel())


def _cancel_core(call: Any) -> bool:
    core = getattr(call, "_cython_call", call)
    if core.done():
        return False
    core.cancel(DETAILS)
    return True


cancel_core: Final = canceller(grpc.__version__)


async def drain(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all have ended, however they do. Our own cancellation is put off until then: the core ends them at once."""
    pending = {future for future in futures if not future.done()}
    cancelled: asyncio.CancelledError | None = None
    while pending:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as e:
            cancelled = e
        pending = {future for future in pending if not future.done()}
    if cancelled is not None:
        raise cancelled


async def give_up(call: Any, futures: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel the call in the core and see its tasks to their end."""
    cancel_core(call)
    await drain(futures)
