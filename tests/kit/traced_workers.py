"""Workers for traces: one that never answers, and one that answers once the other has been called for the same request.

Together in one process they make a soft timeout exact: the request cannot be complete before the call that is left behind has
arrived, however slow the machine is, so every request has a span of each worker.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from fanmesh.workers import Context, worker

_called: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


@worker("hangs")
async def hangs(ctx: Context) -> Any:
    """Is left behind."""
    _called[ctx.request_id].set()
    await asyncio.get_running_loop().create_future()


@worker("after")
async def after(ctx: Context) -> Any:
    """Answers after `hangs` was called."""
    await _called[ctx.request_id].wait()
    return ctx.metadata.get("traceparent", "")


@worker("parts")
async def parts(data: Any) -> AsyncIterator[Any]:
    """Its input, in two parts."""
    yield [data]
    yield [data]
