"""Metadata that is sent before the answer, of each transport with itself and with the other."""

from collections.abc import AsyncIterator

import pytest

from fanmesh.transport.port import Metadata, Routes, ServerCall
from tests.kit.peers import Pair

pytestmark = pytest.mark.asyncio

FIRST = (("seen", "yes"), ("raw-bin", b"\x00\xff"))


async def one(request: bytes, call: ServerCall) -> bytes:
    """Headers, then the answer."""
    await call.send_headers(FIRST)
    return request


async def many(request: bytes, call: ServerCall) -> AsyncIterator[bytes]:
    """Headers, then two answers."""
    await call.send_headers(FIRST)
    yield request
    yield request


async def chat(requests: AsyncIterator[bytes], call: ServerCall) -> None:
    """Headers, then an echo."""
    await call.send_headers(FIRST)
    async for request in requests:
        await call.write(request)


async def plain(request: bytes, _: ServerCall) -> AsyncIterator[bytes]:
    """An answer without any."""
    yield request


ROUTES = Routes(unary={"/t.T/one": one}, stream={"/t.T/many": many, "/t.T/plain": plain}, duplex={"/t.T/chat": chat})


def told(metadata: Metadata) -> set[tuple[str, str | bytes]]:
    """What of the metadata is ours."""
    return {pair for pair in metadata if pair[0] in ("seen", "raw-bin")}


async def test_initial_metadata_precedes_the_first_message(pair: Pair) -> None:
    """Empty before it, there with it, whatever the kind of method; a call without any has none."""
    server = pair.server.server("127.0.0.1:0", ROUTES)
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    for path, answers in (("/t.T/one", 1), ("/t.T/many", 2), ("/t.T/plain", 1)):
        stream = channel.stream(path, b"x", timeout=10)
        assert told(stream.headers) == set()
        assert [part async for part in stream] == [b"x"] * answers
        assert told(stream.headers) == (set() if path == "/t.T/plain" else set(FIRST))
        await stream.aclose()
    assert (await channel.unary("/t.T/one", b"x", timeout=10)).payload == b"x"
    call = channel.duplex("/t.T/chat", timeout=10)
    await call.write(b"x")
    assert await call.read() == b"x"
    assert told(call.headers) == set(FIRST)
    await call.half_close()
    assert await call.read() is None
    await call.aclose()
    await channel.close()
    await server.stop()
