"""Bytes on a socket: a pipe between a caller and a server that counts what goes through it and looks at nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Pipe:
    """It listens on `port`; callers have `sent` and `got` so many bytes through it."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._running: set[asyncio.Task[None]] = set()
        self.port = 0
        self.sent = 0
        self.got = 0

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.sent += len(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.got += len(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(self._up(reader, back), self._down(there, writer))
        finally:
            for one in (writer, back):
                one.transport.abort()
                with suppress(OSError):
                    await one.wait_closed()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One caller, until both sides have said their last word."""
        task = asyncio.ensure_future(self._both(reader, writer))
        self._running.add(task)
        await asyncio.wait((task,))

    async def close(self) -> None:
        """Cut what still runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@asynccontextmanager
async def counted(port: int) -> AsyncIterator[Pipe]:
    """A pipe to this port of 127.0.0.1."""
    pipe = Pipe(port)
    server = await asyncio.start_server(pipe.accept, "127.0.0.1", 0)
    pipe.port = server.sockets[0].getsockname()[1]
    try:
        yield pipe
    finally:
        server.close()
        await pipe.close()
