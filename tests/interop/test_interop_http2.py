"""gRPC's negative HTTP/2 cases by their published names: a client of the fast transport and a server that behaves oddly.

gRPC's own server for them is a program on Twisted that is in no registry; each case is a few frames, which a scripted peer
sends.
"""

import asyncio
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Channel
from tests.interop.cases import failing, request, unary
from tests.interop.service import SERVICE, pb
from tests.kit.h2_peer import HEAD, Peer, answering, message

pytestmark = pytest.mark.asyncio

SIZE = 314159
ANSWER = message(pb.SimpleResponse(payload=pb.Payload(body=bytes(SIZE))).SerializeToString())
ANSWER_OF_A_MEGABYTE = message(pb.SimpleResponse(payload=pb.Payload(body=bytes(1_000_000))).SerializeToString())
OK = [(b"grpc-status", b"0")]
NO_ERROR = 0


def asked(event: Any) -> int | None:
    """The stream of a request that is whole, or None."""
    return event.stream_id if isinstance(event, ngh2.DataReceived | ngh2.RequestReceived) and event.end_stream else None


def answer(peer: Peer, stream: int) -> None:
    """All is well."""
    peer.h2.send_response(stream, HEAD)
    peer.h2.send_data(stream, ANSWER)
    peer.h2.send_trailers(stream, OK)


async def calls(channel: Channel) -> int:
    """Bytes that a UnaryCall gave."""
    reply, _ = await unary(channel, "UnaryCall", request(271828, SIZE))
    return len(reply.payload.body)


async def test_goaway() -> None:
    """A call after a GOAWAY goes to a new connection."""

    def behave(peer: Peer, event: Any) -> None:
        if (stream := asked(event)) is not None:
            answer(peer, stream)
            peer.h2.send_goaway()

    async with answering(behave) as (address, peers):
        channel = FastTransport().connect(address)
        assert [await calls(channel), await calls(channel)] == [SIZE, SIZE]
        assert len(peers) == 2
        await channel.close()


@pytest.mark.parametrize("said", ["rst_after_header", "rst_during_data", "rst_after_data"])
async def test_rst(said: str) -> None:
    """A stream that is reset at whatever point is a call that failed, and a unary one gives no part of an answer."""

    def behave(peer: Peer, event: Any) -> None:
        if (stream := asked(event)) is not None:
            peer.h2.send_response(stream, HEAD)
            if said != "rst_after_header":
                peer.h2.send_data(stream, ANSWER if said == "rst_after_data" else ANSWER[:1000])
            peer.flush()
            peer.h2.reset_stream(stream, NO_ERROR)

    async with answering(behave) as (address, _):
        channel = FastTransport().connect(address)
        assert (await failing(calls(channel))).code is Code.INTERNAL
        stream = channel.stream(f"{SERVICE}UnaryCall", request(1), timeout=10)
        if said == "rst_after_data":
            assert len(await anext(stream)) + 5 == len(ANSWER)
        assert (await failing(anext(stream))).code is Code.INTERNAL
        await stream.aclose()
        await channel.close()


async def test_ping() -> None:
    """Every ping is answered, before, within and after an answer."""

    def behave(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.RequestReceived):
            peer.h2.ping()
        elif (stream := asked(event)) is not None:
            peer.h2.ping()
            peer.h2.send_response(stream, HEAD)
            peer.h2.ping()
            peer.h2.send_data(stream, ANSWER)
            peer.h2.ping()
            peer.h2.send_trailers(stream, OK)

    async with answering(behave) as (address, peers):
        channel = FastTransport().connect(address)
        assert await calls(channel) == SIZE
        await peers[0].wait(ngh2.PingAcknowledged, 4)
        await channel.close()


async def test_max_streams() -> None:
    """A server that takes one stream at a time gets one at a time."""
    running = 0
    most = 0

    def behave(peer: Peer, event: Any) -> None:
        nonlocal running, most
        if isinstance(event, ngh2.SettingsReceived):
            peer.h2.update_settings({3: 1})
        elif isinstance(event, ngh2.RequestReceived):
            running += 1
            most = max(most, running)
        elif isinstance(event, ngh2.StreamClosed):
            running -= 1
        if (stream := asked(event)) is not None:
            answer(peer, stream)

    async with answering(behave) as (address, peers):
        channel = FastTransport().connect(address)
        await calls(channel)
        await peers[0].wait(ngh2.SettingsAcknowledged, 2)
        most = 0
        assert await asyncio.gather(*(calls(channel) for _ in range(10))) == [SIZE] * 10
        assert (most, len(peers)) == (1, 1)
        await channel.close()


def padded(stream: int, data: bytes) -> bytes:
    """A DATA frame with as much padding as there can be."""
    body = b"\xff" + data + bytes(255)
    return len(body).to_bytes(3, "big") + b"\0\x08" + stream.to_bytes(4, "big") + body


async def test_data_frame_padding() -> None:
    """Padding counts against the windows and is given back: an answer with more of it than fits one still comes."""
    size, piece, stream = 1_000_000, 250, 1
    frames = iter([ANSWER_OF_A_MEGABYTE[at : at + piece] for at in range(0, len(ANSWER_OF_A_MEGABYTE), piece)])
    budget = 0

    def go_on(peer: Peer) -> None:
        """As many frames as the stream's window takes; the engine of the peer pads none, so they are made by hand."""
        nonlocal budget
        while budget >= piece + 256:
            if (data := next(frames, None)) is None:
                peer.h2.send_trailers(stream, OK)
                budget = 0
                return
            peer.transport.write(padded(stream, data))
            budget -= len(data) + 256

    def behave(peer: Peer, event: Any) -> None:
        nonlocal budget
        if asked(event) is not None:
            peer.h2.send_response(stream, HEAD)
            peer.flush()
            budget = peer.h2.remote_settings[4]
        elif isinstance(event, ngh2.WindowUpdated) and event.stream_id == stream:
            budget += event.increment
        go_on(peer)

    async with answering(behave) as (address, _):
        channel = FastTransport().connect(address)
        reply, _ = await unary(channel, "UnaryCall", request(1, size))
        assert len(reply.payload.body) == size
        await channel.close()
