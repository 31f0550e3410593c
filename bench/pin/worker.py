"""The far end of every measurement: a worker that answers, hangs, or streams, and counts what it saw.

The counts are the point: whether a cancel arrived is the server's to say. Asking the client, which is
simpler, proves nothing, because the client believes it cancelled in every version.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

from serving import Context, Handlers, main

SEEN: Counter[str] = Counter()


async def echo(payload: bytes, _: Context) -> bytes:
    """Answer at once with what came."""
    return payload


async def counts(_: bytes, __: Context) -> bytes:
    """Return as JSON how many hanging calls and streams began, and how many of them were cancelled."""
    return json.dumps(SEEN).encode()


async def hang(_: bytes, __: Context) -> bytes:
    """Never answer; count the start and the cancel."""
    SEEN["hang_started"] += 1
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        SEEN["hang_cancelled"] += 1
        raise
    return b""


async def stream(payload: bytes, _: Context) -> AsyncIterator[bytes]:
    """Send one part and then nothing, until cancelled."""
    SEEN["stream_started"] += 1
    try:
        yield payload
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        SEEN["stream_cancelled"] += 1
        raise


if __name__ == "__main__":
    main(lambda _: Handlers(unary={"echo": echo, "counts": counts, "hang": hang}, stream={"stream": stream}))
