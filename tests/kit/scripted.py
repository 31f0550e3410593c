"""Both ends of a connection of the fast transport without a socket: an engine that says what a test tells it, and the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import ngh2

from fanmesh.transport.fast.channel import FastChannel
from fanmesh.transport.fast.client_connection import ClientConnection
from fanmesh.transport.fast.link import Link, State
from fanmesh.transport.port import ChannelOptions
from tests.kit.h2_peer import GENEROUS, HEAD, request


class Wire(asyncio.Transport):
    """One end of a socket that is none: what is written is kept."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.out = bytearray()
        self.shut = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.out += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """No limits."""

    def close(self) -> None:
        """Shut."""
        self.shut = True

    abort = close


async def turns(count: int = 8) -> None:
    """Let the loop do what it has to do."""
    for _ in range(count):
        await asyncio.sleep(0)


class Scripted:
    """The peer's engine, which does what an act says, as far as it is possible."""

    def __init__(self, role: ngh2.Role, wire: Wire, into: Callable[[bytes], None]) -> None:
        self.h2 = ngh2.Connection(role, GENEROUS)
        self.h2.initiate_connection()
        self.streams: list[int] = []
        self._wire = wire
        self._into = into

    def exchange(self) -> None:
        """Bytes both ways, until nobody has any."""
        for _ in range(20):
            heard, self._wire.out = bytes(self._wire.out), bytearray()
            try:
                if heard:
                    self.h2.receive_data(heard)
                said = self.h2.data_to_send()
            except ngh2.NGH2Error:
                return
            self.streams += [event.stream_id for event in self.h2.events() if isinstance(event, ngh2.RequestReceived)]
            if not said and not heard:
                return
            if said:
                self._into(said)

    def act(self, what: str, how: Any, choice: bool) -> None:  # noqa: FBT001
        """Do it; what the engine refuses is not done."""
        if what in ("frame", "noise"):
            self._into(how)
            return
        stream = self.streams[-1 if choice else 0] if self.streams else 1
        try:
            match what:
                case "headers" if self.h2.role is ngh2.Role.SERVER:
                    self.h2.send_response(stream, [*HEAD, *how], end_stream=choice)
                case "headers":
                    self.streams.append(self.h2.send_request(request(b"/t.T/chat" if choice else b"/t.T/echo", *how)))
                case "data":
                    self.h2.send_data(stream, how, end_stream=choice)
                case "trailers":
                    self.h2.send_trailers(stream, how)
                case "reset":
                    self.h2.reset_stream(stream, how)
                case "goaway":
                    self.h2.send_goaway(how, last_stream_id=stream if choice else 0)
        except (ngh2.NGH2Error, ValueError):
            return


class Connected(NamedTuple):
    """A client's connection that takes calls, and its peer."""

    channel: FastChannel
    link: Link
    connection: ClientConnection
    wire: Wire
    peer: Scripted


def connected(options: ChannelOptions) -> Connected:
    """Greeted, as its channel would have made it over a socket."""
    wire, channel = Wire(), FastChannel("test:1", options)
    link = channel._links
    assert isinstance(link, Link)
    connection = ClientConnection(link)
    connection.connection_made(wire)
    peer = Scripted(ngh2.Role.SERVER, wire, connection.data_received)
    peer.exchange()
    link.connection, link.state = connection, State.READY
    return Connected(channel, link, connection, wire, peer)
