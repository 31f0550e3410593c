"""A channel of the fast transport: what is left of it when it is closed, and whose its errors are."""

import asyncio
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import ChannelOptions, RpcError
from tests.kit.h2_peer import answer, answering, on_request
from tests.kit.peers import failing
from tests.kit.scripted import connected

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


async def test_a_closed_channel_stays_closed() -> None:
    """Nobody can make it connect again, and no timer of its calls is left."""
    async with answering(on_request(answer)) as (address, peers):
        channel = FAST.connect(address)
        assert (await channel.unary("/t.T/x", b"?", timeout=3600)).payload == b"ok"
        await channel.close()
        await peers[0].gone()
        assert not await channel.wait_ready(5)
        links: Any = channel._links
        await asyncio.wait_for(links.ready(), 5)  # who asked before it was closed
        assert (len(peers), len(channel.deadlines)) == (1, 0)
        assert channel.deadlines._timer is None
        await channel.close()


async def test_closing_a_channel_ends_a_call_whose_time_was_up_when_its_turn_came() -> None:
    """It waits for its deadline and nothing else, and with the channel go the deadlines."""
    c = connected(ChannelOptions())
    c.connection.most_streams = 0
    call: Any = c.channel.unary("/t.T/x", b"?", timeout=30)
    call.call.deadline = 0
    c.connection.most_streams = 1
    c.link.admit()
    assert not c.link.waiting
    await c.channel.close()
    error = await failing(lambda: call)
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)


async def test_each_call_that_fails_has_an_error_of_its_own() -> None:
    """Whoever raises one adds his frames to it: those of one caller are not another's, and the channel keeps none alive."""
    channel = FAST.connect("unix:/nonexistent/socket")
    first, second = await asyncio.gather(*(channel.unary("/t.T/x", b"") for _ in range(2)), return_exceptions=True)
    assert isinstance(first, RpcError)
    assert isinstance(second, RpcError)
    assert first is not second
    await channel.close()
    async with answering(lambda _peer, _event: None) as (address, peers):
        channel = FAST.connect(address)
        calls = [channel.unary("/t.T/x", b"") for _ in range(2)]
        assert await channel.wait_ready(5)
        await peers[0].wait(ngh2.RequestReceived, 2)
        await channel.close()
        first, second = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(first, RpcError)
        assert first is not second
