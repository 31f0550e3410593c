"""The receiving half of a streamed call, on either side: bytes in from the connection, messages out to one reader.

The window of the stream is opened again by what the reader takes, and by what has come of a message that it waits for: a reader
that does not come back stops its sender after one window and one message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fanmesh.model.fault import Code
from fanmesh.runtime.clock import sleep
from fanmesh.transport.fast.framing import BadMessage, Inbox


class Inbound:
    """Messages of one direction. `acknowledge` opens the window by so many bytes. One reader at a time."""

    __slots__ = ("_acknowledge", "_inbox", "_over", "_taken", "_unread", "_waiter")

    def __init__(self, limit: int, acknowledge: Callable[[int], None]) -> None:
        self._inbox = Inbox(limit)
        self._acknowledge = acknowledge
        self._unread = 0  # bytes for which the window has not been opened again
        self._over = False
        self._taken = False  # whether the reader has not let others run since
        self._waiter: asyncio.Future[None] | None = None

    def encoded(self, encoding: bytes) -> None:
        """The call's grpc-encoding."""
        self._inbox.encoding = encoding

    def feed(self, data: bytes) -> None:
        """What came."""
        if self._over:
            self._acknowledge(len(data))
            return
        self._unread += len(data)
        self._inbox.feed(data)
        self._wake()

    def end(self) -> None:
        """Nothing more comes."""
        self._over = True
        self._wake()

    def drop(self) -> None:
        """Nobody reads on: the end, for a reader that waits, too."""
        self._inbox.clear()
        self._settle(self._unread)
        self.end()

    async def take(self) -> bytes | None:
        """The next message, or None at the end. BadMessage if what came is none. A cancelled one loses nothing."""
        if self._taken:  # a window may hold thousands of messages: who acts on one has a turn before the next
            self._taken = False
            await sleep(0)
        while True:
            if (taken := self._inbox.take()) is not None:
                message, used = taken
                self._settle(min(used, self._unread))
                self._taken = True
                return message
            if self._over:
                if len(self._inbox):
                    raise BadMessage(Code.INTERNAL, "a message that is cut short")
                return None
            self._settle(self._unread)
            self._waiter = asyncio.get_running_loop().create_future()
            self._taken = False
            await self._waiter

    def _settle(self, size: int) -> None:
        if size:
            self._unread -= size
            self._acknowledge(size)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
