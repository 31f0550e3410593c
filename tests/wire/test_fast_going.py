"""Servers that go away while a client of the fast transport is still on its way to them."""

import asyncio
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import ChannelOptions
from tests.kit.h2_peer import HEAD, Peer, answering, message
from tests.kit.peers import failing

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


def answer(peer: Peer, event: Any) -> None:
    """A good unary answer to each request."""
    if isinstance(event, ngh2.DataReceived) and event.end_stream:
        peer.h2.send_response(event.stream_id, HEAD)
        peer.h2.send_data(event.stream_id, message(b"ok"))
        peer.h2.send_trailers(event.stream_id, [(b"grpc-status", b"0")])


class Leaving(Peer):
    """Says hello and goodbye in one breath, as a server does that is stopped while somebody connects."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """SETTINGS and GOAWAY in one write."""
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.send_goaway(0, debug_data=b"stopping")
        self.flush()


async def test_a_server_that_goes_away_while_it_greets_was_not_connected_to() -> None:
    """Calls that waited for it fail as never sent, one after the other, and others behind them find the next server."""
    async with answering(answer, Leaving, Leaving) as (address, peers):
        channel = FAST.connect(address, ChannelOptions(reconnect_initial=0.01, reconnect_max=0.02))
        waiting = [channel.unary("/t.T/x", b"?", timeout=5) for _ in range(3)]
        errors = [await failing(lambda call=call: call) for call in waiting]
        assert {(error.code, error.sent) for error in errors} == {(Code.UNAVAILABLE, False)}
        assert "cannot connect" in errors[0].message
        assert await channel.wait_ready(5)
        assert (await channel.unary("/t.T/x", b"?", timeout=5)).payload == b"ok"
        assert len(peers) == 3
        assert not channel.live
        await channel.close()


async def test_a_connection_that_is_found_to_be_over_when_a_call_begins_is_not_tried_again() -> None:
    """The call goes to another one, once: it does not ask the same connection for ever."""
    async with answering(answer) as (address, peers):
        channel = FAST.connect(address)
        assert await channel.wait_ready(5)
        link: Any = channel._links
        link.connection.h2.terminate_connection(0)  # and nobody has been told yet
        assert (await channel.unary("/t.T/x", b"?", timeout=5)).payload == b"ok"
        assert len(peers) == 2
        await channel.close()
