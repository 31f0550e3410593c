"""Compression of what goes out: how many bytes travel, over each pair of transports, and who is sent what as it is."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ngh2
import pytest

from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import load_mapping
from dispatcher.settings import Settings
from fanmesh import AsyncClient
from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.fast.framing import SMALL
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel, ChannelOptions, Compression, Routes, ServerCall, ServerOptions
from fanmesh.transport.sync import SyncChannel
from fanmesh.workers import serve, worker
from tests.kit.aggregators import until
from tests.kit.counting import Pipe, counted
from tests.kit.h2_peer import HEAD, Peer, answering, calling, message, request
from tests.kit.peers import TRANSPORTS, Pair, failing

pytestmark = pytest.mark.asyncio

GZIP = Compression.GZIP
NONE = Compression.NONE
SIZE = 1_000_000
LITTLE = SIZE // 20
"""More than a million equal bytes come to, with headers and SETTINGS."""

ZEROS = bytes(SIZE)
CHAOS = os.urandom(SIZE)


async def echo(payload: bytes, _: ServerCall) -> bytes:
    """The same."""
    return payload


async def thrice(payload: bytes, _: ServerCall) -> AsyncIterator[bytes]:
    """The same three times."""
    for _ in range(3):
        yield payload


async def chat(requests: AsyncIterator[bytes], call: ServerCall) -> None:
    """The same for each."""
    async for payload in requests:
        await call.write(payload)


ROUTES = Routes(unary={"/t.T/echo": echo}, stream={"/t.T/thrice": thrice}, duplex={"/t.T/chat": chat})


@asynccontextmanager
async def piped(
    pair: Pair, client: Compression, server: Compression, receive_limit: int = 16 << 20
) -> AsyncIterator[tuple[Channel, Pipe]]:
    """A channel to a server, and what counts the bytes between them."""
    options = ServerOptions(compression=server, receive_limit=receive_limit)
    serving = pair.server.server("127.0.0.1:0", ROUTES, options=options)
    await serving.start()
    async with counted(serving.port) as pipe:
        channel = pair.client.connect(f"127.0.0.1:{pipe.port}", ChannelOptions(compression=client, receive_limit=receive_limit))
        assert await channel.wait_ready(5)
        yield channel, pipe
        await channel.close()
    await serving.stop()


async def unary(channel: Channel, payload: bytes) -> None:
    """A unary call, which the server gives back."""
    assert (await channel.unary("/t.T/echo", payload, timeout=30)).payload == payload


async def streamed(channel: Channel, payload: bytes) -> None:
    """The same three times as a stream."""
    stream = channel.stream("/t.T/thrice", payload, timeout=30)
    assert [part async for part in stream] == [payload] * 3
    await stream.aclose()


async def bidirectional(channel: Channel, payload: bytes) -> None:
    """Three times there and back."""
    call = channel.duplex("/t.T/chat", timeout=30)
    for _ in range(3):
        await call.write(payload)
        assert await call.read() == payload
    await call.half_close()
    assert await call.read() is None
    await call.aclose()


KINDS = {"unary": (unary, 1, 1), "streamed": (streamed, 1, 3), "bidirectional": (bidirectional, 3, 3)}
"""A call of each kind, with how many payloads go there and come back."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("client", "server"), [(GZIP, GZIP), (GZIP, NONE), (NONE, GZIP), (NONE, NONE)])
async def test_a_large_message_travels_small(pair: Pair, kind: str, client: Compression, server: Compression) -> None:
    """In the direction that was chosen, in every kind of call, and the other one is as it was."""
    call, there, back = KINDS[kind]
    async with piped(pair, client, server) as (channel, pipe):
        await call(channel, ZEROS)
        assert pipe.sent < LITTLE if client is GZIP else there * SIZE < pipe.sent < there * SIZE + LITTLE
        assert pipe.got < LITTLE if server is GZIP else back * SIZE < pipe.got < back * SIZE + LITTLE


@pytest.mark.parametrize("kind", KINDS)
async def test_what_does_not_get_smaller_travels_as_it_is(pair: Pair, kind: str) -> None:
    """Noise, and a message of no bytes at all, between those that are compressed."""
    call, there, back = KINDS[kind]
    async with piped(pair, GZIP, GZIP) as (channel, pipe):
        await call(channel, CHAOS)
        assert there * SIZE < pipe.sent < there * SIZE + LITTLE
        assert back * SIZE < pipe.got < back * SIZE + LITTLE
        await call(channel, b"")
        await call(channel, ZEROS[:SMALL])


@pytest.mark.parametrize("direction", ["request", "answer"])
async def test_the_limit_counts_what_comes_out(pair: Pair, direction: str) -> None:
    """A message of few bytes that is many is refused by its receiver, and one of exactly the limit is not."""
    there, back = (GZIP, NONE) if direction == "request" else (NONE, GZIP)
    async with piped(pair, there, back, receive_limit=100_000) as (channel, _):
        await unary(channel, ZEROS[:100_000])
        error = await failing(lambda: channel.unary("/t.T/echo", ZEROS[:100_001], timeout=30))
        assert error.code is Code.RESOURCE_EXHAUSTED


async def test_a_blocking_channel_compresses_too() -> None:
    """It takes the same options."""
    async with piped(Pair(FastTransport(), FastTransport()), NONE, NONE) as (_, pipe):
        channel = SyncChannel(f"127.0.0.1:{pipe.port}", ChannelOptions(compression=GZIP))
        reply = await asyncio.to_thread(channel.unary, "/t.T/echo", ZEROS, timeout=30)
        assert reply.payload == ZEROS
        assert pipe.sent < LITTLE
        channel.close()


# ---------------------------------------------------------------- by configuration


@worker("w")
async def measure(text: str) -> str:
    """The same."""
    return text


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("to_worker", "to_caller"), [("gzip", "none"), ("none", "gzip"), (None, None)])
async def test_a_dispatcher_compresses_what_its_file_says(transport: str, to_worker: str | None, to_caller: str | None) -> None:
    """Requests to a worker by the worker's key, answers to callers by the server's; nothing without a word of it."""
    serving = await serve(measure, transport=transport)
    async with counted(serving.port) as behind:
        place: dict[str, Any] = {"target": f"127.0.0.1:{behind.port}", "effect": "read"}
        server: dict[str, Any] = {"listen": "127.0.0.1:0", "metrics": None, "transport": transport}
        document = {
            "version": 1,
            "default_policy": "none",
            "workers": {"w": {**place, **({"compression": to_worker} if to_worker else {})}},
            "plans": {"p": {"branches": {"w": {"worker": "w"}}}},
            "server": {**server, **({"compression": to_caller} if to_caller else {})},
        }
        dispatcher = Dispatcher(load_mapping(document, MERGES), Settings())
        await dispatcher.start()
        async with counted(dispatcher.port) as before, AsyncClient(f"127.0.0.1:{before.port}", transport=transport) as client:
            text = "x" * SIZE
            assert (await client.dispatch("p", text)).value == {"w": text}
            assert (behind.sent < LITTLE) == (to_worker == "gzip")
            assert (before.got < LITTLE) == (to_caller == "gzip")
            assert behind.got > SIZE
            assert before.sent > SIZE
        await dispatcher.stop()
    await serving.stop()


async def test_a_reload_can_change_what_a_worker_is_sent() -> None:
    """Its channel is another one then, and the old one goes."""

    def document(compression: str) -> dict[str, Any]:
        return {
            "version": 1,
            "default_policy": "none",
            "workers": {"w": {"target": f"127.0.0.1:{pipe.port}", "effect": "read", "compression": compression}},
            "plans": {"p": {"branches": {"w": {"worker": "w"}}}},
            "server": {"listen": "127.0.0.1:0", "metrics": None},
        }

    serving = await serve(measure)
    async with counted(serving.port) as pipe:
        dispatcher = Dispatcher(load_mapping(document("none"), MERGES), Settings())
        await dispatcher.start()
        async with AsyncClient(f"127.0.0.1:{dispatcher.port}") as client:
            assert (await client.dispatch("p", "x" * SIZE)).value == {"w": "x" * SIZE}
            before = pipe.sent
            assert before > SIZE
            await dispatcher.reload(load_mapping(document("gzip"), MERGES))
            assert (await client.dispatch("p", "x" * SIZE)).value == {"w": "x" * SIZE}
            assert pipe.sent - before < LITTLE
            await until(lambda: len(dispatcher._endpoints._channels) == 1, "the old connection to be let go")
        await dispatcher.stop()
    await serving.stop()


# ---------------------------------------------------------------- frame by frame


def flag(peer: Peer) -> int:
    """Whether the first message that the peer has got is compressed."""
    data = b"".join(event.data for event in peer.of(ngh2.DataReceived))
    return data[0]


def got(peer: Peer) -> tuple[dict[bytes, bytes], bytes]:
    """The headers of the first answer, and its bytes."""
    return dict(peer.of(ngh2.ResponseReceived)[0].headers), b"".join(event.data for event in peer.of(ngh2.DataReceived))


ACCEPTS = [
    ([(b"grpc-accept-encoding", b"gzip")], True),
    ([(b"grpc-accept-encoding", b"identity, deflate, gzip")], True),
    ([(b"grpc-accept-encoding", b"identity"), (b"grpc-accept-encoding", b"gzip")], True),
    ([], False),
    ([(b"grpc-accept-encoding", b"identity,deflate")], False),
    ([(b"grpc-accept-encoding", b"gzip2,x-gzip")], False),
]


async def answered(port: int, payload: bytes, more: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes]:
    """What the server answers to a caller that says this."""
    peer = await calling(port)
    stream = peer.h2.send_request(request(b"/t.T/echo", *more))
    peer.h2.send_data(stream, message(payload), end_stream=True)
    peer.flush()
    await peer.wait(ngh2.TrailersReceived)
    peer.transport.abort()
    return got(peer)


@pytest.mark.parametrize(("more", "accepted"), ACCEPTS)
async def test_only_who_accepts_gzip_gets_it(more: list[tuple[bytes, bytes]], *, accepted: bool) -> None:
    """By the words of each call, however they are written."""
    server = FastTransport().server("127.0.0.1:0", ROUTES, options=ServerOptions(compression=GZIP))
    await server.start()
    fields, data = await answered(server.port, ZEROS[:50_000], more)
    assert fields.get(b"grpc-encoding") == (b"gzip" if accepted else None)
    assert data[0] == accepted
    assert (gzip.decompress(data[5:]) if accepted else data[5:]) == ZEROS[:50_000]
    await server.stop()


@pytest.mark.parametrize(("size", "packed"), [(0, False), (SMALL - 1, False), (SMALL, True)])
async def test_small_answers_go_as_they_are(size: int, *, packed: bool) -> None:
    """In a call that is announced as compressed all the same: each message says it for itself."""
    server = FastTransport().server("127.0.0.1:0", ROUTES, options=ServerOptions(compression=GZIP))
    await server.start()
    fields, data = await answered(server.port, ZEROS[:size], [(b"grpc-accept-encoding", b"gzip")])
    assert fields[b"grpc-encoding"] == b"gzip"
    assert data[0] == packed
    await server.stop()


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize(("size", "packed"), [(SMALL - 1, False), (SMALL, True), (SIZE, True)])
async def test_requests_say_what_they_are(compression: Compression, size: int, *, packed: bool) -> None:
    """The encoding in the headers, and of each message whether it is."""

    def behave(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived) and event.end_stream:
            peer.h2.send_response(event.stream_id, HEAD)
            peer.h2.send_data(event.stream_id, message(b"ok"))
            peer.h2.send_trailers(event.stream_id, [(b"grpc-status", b"0")])

    async with answering(behave) as (address, peers):
        channel = FastTransport().connect(address, ChannelOptions(compression=compression))
        assert (await channel.unary("/t.T/echo", ZEROS[:size], timeout=10)).payload == b"ok"
        asked = dict(peers[0].of(ngh2.RequestReceived)[0].headers)
        assert asked.get(b"grpc-encoding") == (b"gzip" if compression is GZIP else None)
        assert flag(peers[0]) == (packed and compression is GZIP)
        await channel.close()


@pytest.mark.parametrize("name", TRANSPORTS)
async def test_nothing_is_compressed_unless_asked(name: str) -> None:
    """The default of both transports."""
    assert (ChannelOptions().compression, ServerOptions().compression) == (NONE, NONE)
    server = TRANSPORTS[name]().server("127.0.0.1:0", ROUTES)
    await server.start()
    fields, data = await answered(server.port, ZEROS[:50_000], [(b"grpc-accept-encoding", b"gzip")])
    assert (fields.get(b"grpc-encoding", b"identity"), data[0]) == (b"identity", 0)
    await server.stop()


async def test_grpcio_asks_nobody() -> None:
    """Its core compresses for a caller that says it does not understand, too, and does not show the handler what it says."""
    server = GrpcTransport().server("127.0.0.1:0", ROUTES, options=ServerOptions(compression=GZIP))
    await server.start()
    fields, data = await answered(server.port, ZEROS[:50_000], [(b"grpc-accept-encoding", b"identity")])
    assert (fields.get(b"grpc-encoding"), data[0]) == (b"gzip", 1)
    await server.stop()
