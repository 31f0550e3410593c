"""Streams of each transport with itself and with the other, and how a channel ends, on real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.port import MIB, Routes, RpcError, ServerCall
from tests.kit.peers import Pair, failing, peers, soon


@pytest.mark.asyncio
async def test_a_stream_gives_every_message_and_then_its_trailers(pair: Pair) -> None:
    """Also when it ends before the first one is read."""
    async with peers(pair) as p:
        for n in (0, 1, 500):
            stream = p.channel.stream("/t.T/count", b"%d" % n)
            assert [int(m) async for m in stream] == list(range(n))
            assert tuple(stream.trailers) == (("end", "1"),)
            await stream.aclose()
            assert [m async for m in stream] == []


@pytest.mark.asyncio
async def test_closing_a_stream_cancels_the_worker(pair: Pair) -> None:
    """`aclose` reaches the peer, whether or not somebody is reading, and may be repeated."""
    async with peers(pair) as p:
        stream = p.channel.stream("/t.T/drip", b"")
        assert await anext(stream) == b"first"
        reading = asyncio.ensure_future(stream.read())
        await soon(p.worker.arrived)
        await stream.aclose()
        await stream.aclose()
        await soon(p.worker.cancelled)
        with pytest.raises(RpcError) as e:
            await reading
        assert e.value.code is Code.CANCELLED
        assert not p.channel.live


@pytest.mark.asyncio
async def test_a_cancelled_read_loses_nothing(pair: Pair) -> None:
    """Whoever stops waiting for a message may come back for it."""
    async with peers(pair) as p:
        call = p.channel.duplex("/t.T/chat")
        reading = asyncio.ensure_future(call.read())
        await asyncio.wait((reading,), timeout=0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await call.write(b"a")
        assert await call.read() == b"A"
        await call.aclose()


@pytest.mark.asyncio
async def test_a_stream_that_breaks_gives_its_parts_first(pair: Pair) -> None:
    """Then the status, as RpcError."""
    async with peers(pair) as p:
        stream = p.channel.stream("/t.T/half", b"")
        assert await anext(stream) == b"first"
        error = await failing(lambda: anext(stream))
        assert (error.code, error.message) == (Code.DATA_LOSS, "the rest is gone")
        await stream.aclose()


@pytest.mark.asyncio
async def test_a_stream_that_outlives_its_timeout_is_a_deadline_of_ours(pair: Pair) -> None:
    """The timeout covers the whole stream."""
    async with peers(pair) as p:
        stream = p.channel.stream("/t.T/drip", b"", timeout=0.1)
        assert await anext(stream) == b"first"
        error = await failing(lambda: anext(stream))
        assert (error.code, error.local_deadline) == (Code.DEADLINE_EXCEEDED, True)
        await stream.aclose()


@pytest.mark.asyncio
async def test_a_duplex_call_talks_both_ways_and_ends_on_half_close(pair: Pair) -> None:
    """Half-close may be repeated; the end comes with trailers."""
    async with peers(pair) as p:
        call = p.channel.duplex("/t.T/chat")
        for word in (b"a", b"b"):
            await call.write(word)
            assert await call.read() == word.upper()
        await call.half_close()
        await call.half_close()
        assert await call.read() is None
        assert tuple(call.trailers) == (("closed", "by you"),)
        await call.aclose()
        assert not p.channel.live


@pytest.mark.asyncio
async def test_writing_after_the_peer_has_ended_is_an_error(pair: Pair) -> None:
    """The call says that it is over instead of swallowing what nobody reads."""
    async with peers(pair) as p:
        call = p.channel.duplex("/t.T/chat")
        await call.write(b"bye")
        assert await call.read() is None
        await failing(lambda: call.write(b"more"))
        await call.half_close()
        await call.aclose()


@pytest.mark.asyncio
async def test_closing_a_channel_waits_for_its_calls_and_then_ends_them(pair: Pair) -> None:
    """Within the grace calls may finish; after it they fail as UNAVAILABLE; later ones are never sent."""
    async with peers(pair) as p:
        hanging = asyncio.ensure_future(p.channel.unary("/t.T/hang", b""))
        stream = p.channel.stream("/t.T/drip", b"")
        assert await anext(stream) == b"first"
        reading = asyncio.ensure_future(stream.read())
        await soon(p.worker.arrived)
        await p.channel.close(grace=0.02)
        for ended in (hanging, reading):
            with pytest.raises(RpcError) as e:
                await ended
            assert e.value.code is Code.UNAVAILABLE
        await soon(p.worker.cancelled)
        await stream.aclose()
        error = await failing(lambda: p.channel.unary("/t.T/echo", b""))
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        assert not p.channel.ready()


@pytest.mark.asyncio
async def test_a_call_that_ends_within_the_grace_ends_well(pair: Pair) -> None:
    """Closing is not cancelling."""
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def wait(_: bytes, __: ServerCall) -> bytes:
        entered.set()
        await gate.wait()
        return b"done"

    server = pair.server.server("127.0.0.1:0", Routes(unary={"/t.T/wait": wait}))
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    call = asyncio.ensure_future(channel.unary("/t.T/wait", b""))
    await soon(entered)
    closing = asyncio.ensure_future(channel.close(grace=5))
    gate.set()
    assert (await call).payload == b"done"
    await closing
    await server.stop()


@pytest.mark.asyncio
async def test_a_cancelled_write_stays_on_its_way_and_the_next_one_waits_for_it(pair: Pair) -> None:
    """A peer that does not read stops its writer; a writer that gives up breaks neither the call nor the order."""
    gate = asyncio.Event()

    async def late_reader(requests: AsyncIterator[bytes], call: ServerCall) -> None:
        await gate.wait()
        async for request in requests:
            await call.write(b"%d" % len(request))

    server = pair.server.server("127.0.0.1:0", Routes(duplex={"/t.T/late": late_reader}))
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    call = channel.duplex("/t.T/late")
    taken = 0
    while True:  # until the windows on the way are full; how much they hold is the transport's affair
        writing = asyncio.ensure_future(call.write(b"x" * MIB))
        if not (await asyncio.wait((writing,), timeout=0.1))[0]:
            break
        taken += 1
        assert taken < 200
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    second = asyncio.ensure_future(call.write(b"y"))
    await asyncio.wait((second,), timeout=0)
    third = asyncio.ensure_future(call.write(b"z"))
    await asyncio.wait((third,), timeout=0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    gate.set()
    await second
    await call.half_close()
    assert [await call.read() for _ in range(taken + 3)] == [b"%d" % MIB] * (taken + 1) + [b"1", None]
    await call.aclose()
    await channel.close()
    await server.stop()
