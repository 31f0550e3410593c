"""A coroutine that nobody holds is closed by the garbage collector wherever it happens to run: inside the engine, too.

Its `finally` ends the last calls of a connection that is to close. In a process of its own: an engine that is entered twice
frees a stream twice, and what that does would show in somebody else's test.
"""

import asyncio
import gc
import subprocess
import sys
from pathlib import Path

import pytest

from fanmesh.transport.fast.client_streams import FastDuplex
from fanmesh.transport.port import ChannelOptions
from tests.kit.scripted import connected, turns

GOAWAY = b"\0\0\x08\x07\0" + bytes(4)
"""The head of a frame that says so, and nothing more."""


async def converse(where: str) -> None:
    """The engine makes one event, in what it sends or in what it receives, and the collector runs just then."""
    gc.disable()
    seen: list[tuple[int, bool]] = []
    channel, link, connection, wire, peer = connected(ChannelOptions())
    first, last = (FastDuplex(channel, "/t.T/chat", None, None, ()) for _ in range(2))
    for call in (first, last):
        connection.open(call)
    await turns(2)
    peer.exchange()
    connection.retire()

    async def forgotten() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            written = len(wire.out)
            await first.aclose()
            await last.aclose()
            seen.append((len(wire.out) - written, connection.closed))

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # it says that a pending task was destroyed
    asyncio.create_task(forgotten())  # noqa: RUF006  (the point)
    await turns()
    said = b""
    if where == "sends":
        await first.aclose()
    else:
        peer.h2.reset_stream(peer.streams[0])
        said = peer.h2.data_to_send()
    gc.set_threshold(1)
    gc.enable()
    if said:
        connection.data_received(said)
    else:
        connection.flush()
    gc.disable()
    assert seen == [(0, False)], "closed by nobody, or not from inside the engine, or the engine was entered twice"
    await turns()
    assert connection.closed
    assert wire.shut
    assert link.connection is None
    assert GOAWAY in wire.out


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="collects between bytecodes, and the engine has none")
@pytest.mark.parametrize("where", ["sends", "receives"])
def test_a_collected_coroutine_does_not_enter_the_engine_twice(where: str) -> None:
    """What it ends is ended in the next turn, with a GOAWAY."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.wire.test_fast_collected", where]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


if __name__ == "__main__":
    asyncio.run(converse(sys.argv[1]))
