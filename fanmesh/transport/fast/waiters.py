"""Tasks that wait for the next change of something, and look again."""

from __future__ import annotations

import asyncio


class Waiters:
    """Those who wait. All are woken together; one that is cancelled leaves nothing behind."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()

    async def wait(self) -> None:
        """Return after the next `wake`."""
        future = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        try:
            await future
        finally:
            self._futures.discard(future)

    def wake(self) -> None:
        """Something has changed."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)
