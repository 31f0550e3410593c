"""The lifetime of a bench process hangs on its stdin, so that none outlives a run that was killed."""

import asyncio
import sys


async def stdin_closed() -> None:
    """Return when stdin is at its end."""
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
    await closed.wait()
