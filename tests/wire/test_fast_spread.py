"""A channel of the fast transport to a name with many addresses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import ChannelOptions, Routes, RpcError, ServerCall
from tests.kit.h2_peer import Peer, answer, on_request
from tests.kit.peers import failing, soon
from tests.kit.scripted import turns

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


async def test_calls_go_to_all_addresses_of_a_name_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`spread`: each address gets as much as the others; a lost one gets nothing, and one that joins is found."""
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def resolve(_: str, port: int, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    real = asyncio.get_running_loop().getaddrinfo

    async def getaddrinfo(host: str, port: int, **more: Any) -> Any:
        return await (resolve(host, port) if host == "many.test" else real(host, port, **more))

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    def named(name: str) -> Routes:
        async def who(_: bytes, __: ServerCall) -> bytes:
            return name.encode()

        return Routes(unary={"/t.T/who": who})

    first = FAST.server("127.0.0.1:0", named("1"))
    second, third = (FAST.server(f"127.0.0.{n}:{first.port}", named(str(n))) for n in (2, 3))
    for server in (first, second, third):
        await server.start()
    channel = FAST.connect(f"dns:///many.test:{first.port}", ChannelOptions(spread=True, reconnect_max=0.05))
    assert channel.ready()
    assert await channel.wait_ready(5)

    async def until(*names: str) -> None:
        """Until these answer, and in turn."""
        async with asyncio.timeout(5):
            while True:
                found = [await outcome(channel) for _ in range(2 * len(names))]
                if sorted(map(str, found)) == sorted(2 * names):
                    return

    await until("1", "2")
    addresses[:] = ["127.0.0.1", "127.0.0.3"]
    await second.stop()
    await until("1", "3")
    await third.stop()
    await until("1")
    await first.stop()
    async with asyncio.timeout(5):
        while not (await outcome(channel)).startswith("UNAVAILABLE: cannot connect"):
            pass
    assert not channel.ready()
    error = await failing(lambda: channel.unary("/t.T/who", b"", timeout=5))
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    await channel.close()


async def outcome(channel: Any) -> str:
    """Who answers a call, or how it fails."""
    try:
        return str((await channel.unary("/t.T/who", b"", timeout=5)).payload.decode())
    except RpcError as error:
        return str(error)


async def test_a_name_that_means_nothing_is_unavailable() -> None:
    """Spread or not: never sent."""
    for spread in (False, True):
        channel = FAST.connect("dns:///nobody.invalid:1", ChannelOptions(spread=spread))
        error = await failing(lambda: channel.unary("/t.T/x", b"", timeout=10))  # noqa: B023
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        await channel.close()


class Place:
    """An address at which somebody listens whose connections take one call at a time, and answer those that are whole."""

    def __init__(self) -> None:
        self.peers: list[Narrow] = []
        self.hold = False
        self.silent = False
        self.came = asyncio.Event()

    def accept(self) -> Peer:
        """One more connection."""
        kind = Silent if self.silent else Narrow
        self.peers.append(peer := kind(ngh2.Role.SERVER, on_request(self._answer)))
        self.came.set()
        return peer

    def _answer(self, peer: Peer, stream: int) -> None:
        if not self.hold:
            answer(peer, stream)


class Narrow(Peer):
    """It takes one stream at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so."""
        self.transport = transport
        self.greet()

    def greet(self) -> None:
        """SETTINGS."""
        self.h2.initiate_connection({3: 1})
        self.flush()


class Silent(Narrow):
    """It greets when it is told to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Not yet."""
        self.transport = transport
        transport.pause_reading()  # type: ignore[attr-defined]  # of a stream protocol

    def greet(self) -> None:
        """Now."""
        self.transport.resume_reading()
        super().greet()


class Name:
    """A name of which a test says what it means, and a channel to all of that."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.places = {address: Place() for address in ("127.0.0.1", "127.0.0.2")}
        self.asked = 0
        self.asking = asyncio.Event()
        self.channel: Any = None

    async def getaddrinfo(self, _: str, port: int, **__: Any) -> list[Any]:
        """What it means now."""
        self.asked += 1
        self.asking.set()
        return [(0, 0, 0, "", (address, port)) for address in self.addresses]

    async def means(self, *addresses: str) -> None:
        """From now on, and the channel has heard of it."""
        self.addresses[:] = addresses
        self.channel._links._again = True
        self.channel._links._resolve()
        await self.answers(1)

    async def answers(self, count: int) -> None:
        """The channel has asked that often, and acted on it."""
        for _ in range(count):
            self.asking.clear()
            await soon(self.asking)
        await turns()


@asynccontextmanager
async def name(monkeypatch: pytest.MonkeyPatch, *addresses: str, **more: Any) -> AsyncIterator[Name]:
    """Both places listen at one port; `more` are options of the channel."""
    loop, made = asyncio.get_running_loop(), Name(*addresses)
    first = await loop.create_server(made.places["127.0.0.1"].accept, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    second = await loop.create_server(made.places["127.0.0.2"].accept, "127.0.0.2", port)
    monkeypatch.setattr(loop, "getaddrinfo", made.getaddrinfo)
    options = ChannelOptions(spread=True, **{"reconnect_initial": 0.01, "reconnect_max": 0.02, **more})
    made.channel = FAST.connect(f"many.test:{port}", options)
    try:
        assert await made.channel.wait_ready(5)
        yield made
    finally:
        await made.channel.close()
        for server, place in zip((first, second), made.places.values(), strict=True):
            server.close()
            for peer in place.peers:
                peer.transport.abort()


async def idle() -> None:
    """Wait until nothing runs in this loop but the test itself."""
    if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        assert not (await asyncio.wait(tasks, timeout=5))[1]


async def test_an_address_that_leaves_the_name_ends_its_calls_and_is_never_called_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though somebody still listens there."""
    async with name(monkeypatch, "127.0.0.2") as n:
        [place, other] = n.places["127.0.0.2"], n.places["127.0.0.1"]
        place.hold = True
        running = n.channel.unary("/t.T/x", b"", timeout=10)
        await place.peers[0].wait(ngh2.DataReceived)
        await n.means("127.0.0.1")
        answer(place.peers[0], 1)
        place.peers[0].flush()
        assert (await running).payload == b"ok"
        await place.peers[0].gone()
        for _ in range(5):
            assert (await n.channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
        assert (len(place.peers), len(other.peers)) == (1, 1)
        await idle()


async def test_an_address_that_left_the_name_because_nobody_is_there_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is the name asked for again and again because of it."""
    async with name(monkeypatch, "127.0.0.1", "127.0.0.3") as n:
        await n.answers(2)  # each failure to connect to the second address asks once more
        await n.means("127.0.0.1")
        await idle()
        asked = n.asked
        assert (await n.channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
        assert n.asked == asked


async def test_closing_a_channel_ends_what_still_runs_at_addresses_that_left_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left at work."""
    async with name(monkeypatch, "127.0.0.2", "127.0.0.3") as n:
        place = n.places["127.0.0.2"]
        place.hold = True
        running = n.channel.unary("/t.T/x", b"", timeout=10)
        await place.peers[0].wait(ngh2.DataReceived)
        await n.means("127.0.0.1", "127.0.0.3")
        assert not running.done()
        await n.channel.close()
        error = await failing(lambda: running)
        assert (error.code, error.sent) == (Code.UNAVAILABLE, True)
        await place.peers[0].gone()
        await idle()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_calls_that_wait_at_an_address_that_leaves_the_name_go_to_another(
    monkeypatch: pytest.MonkeyPatch,
    cancelled: bool,  # noqa: FBT001
) -> None:
    """They may still be cancelled, and then are sent nowhere."""
    async with name(monkeypatch, "127.0.0.2") as n:
        place, other = n.places["127.0.0.2"], n.places["127.0.0.1"]
        place.hold = other.silent = True
        running = n.channel.unary("/t.T/x", b"long", timeout=10)
        waiting = n.channel.unary("/t.T/x", b"once", timeout=10)
        await place.peers[0].wait(ngh2.DataReceived)
        await n.means("127.0.0.1")
        await soon(other.came)
        if cancelled:
            waiting.cancel()
        other.peers[0].greet()
        if not cancelled:
            assert (await waiting).payload == b"ok"
        answer(place.peers[0], 1)
        place.peers[0].flush()
        await running
        await place.peers[0].gone()
        assert (await n.channel.unary("/t.T/x", b"last", timeout=5)).payload == b"ok"
        assert [event.data[5:] for peer in place.peers for event in peer.of(ngh2.DataReceived)] == [b"long"]
        assert [event.data[5:] for event in other.peers[0].of(ngh2.DataReceived)] == [b"once", b"last"][cancelled:]


async def test_a_server_that_greets_and_hangs_up_is_not_called_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time in a row is like a failure to connect; one that has answered may be called again at once."""
    async with name(monkeypatch, "127.0.0.1", reconnect_initial=60.0, reconnect_max=60.0) as n:
        place = n.places["127.0.0.1"]
        assert (await n.channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
        for _ in range(2):
            place.came.clear()
            place.peers[-1].transport.abort()
            await soon(place.came)
            assert await n.channel.wait_ready(5)
        place.peers[-1].transport.abort()
        await n.channel._links._waiters.wait()
        assert not await n.channel.wait_ready(0.1)
        assert len(place.peers) == 3
