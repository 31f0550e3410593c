"""Whether a request of the fast transport has left this process: `RpcError.sent`, on which repeated writes rest."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import ngh2
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.fast.client_call import Answer, UnaryCall
from fanmesh.transport.port import ChannelOptions, RpcError
from tests.kit.h2_peer import Peer, answering
from tests.kit.peers import failing
from tests.kit.scripted import Connected, connected, turns

pytestmark = pytest.mark.asyncio

HEADERS, RST_STREAM, CONTINUATION = 1, 3, 9
PING = b"\0\0\x08\x06\0" + bytes(12)
END: dict[str, Callable[[Connected], object]] = {
    "lost": lambda c: c.connection.connection_lost(None),
    "ended": lambda c: c.connection.end("enough"),
    "aborted": lambda c: c.connection.abort("nobody is there"),
    "flooded": lambda c: c.connection.data_received(PING * 2000),
}


def frames(out: bytes) -> dict[int, set[int]]:
    """The streams of which at least a byte has been written, by type of frame."""
    found: dict[int, set[int]] = {}
    while out:
        found.setdefault(out[3] if len(out) > 3 else HEADERS, set()).add(int.from_bytes(out[5:9], "big"))
        out = out[9 + int.from_bytes(out[:3], "big") :]
    return found


def held_back(c: Connected) -> None:
    """From now on the socket holds back whatever it is given."""
    wire: Any = c.wire
    write = wire.write

    def pausing(data: bytes) -> None:
        write(data)
        c.connection.pause_writing()

    wire.write = pausing


def windows(c: Connected) -> None:
    """As large as they get."""
    c.peer.h2.update_settings({4: 2**31 - 1})
    c.peer.h2.set_local_window_size(2**31 - 1)
    c.peer.exchange()


def call(c: Connected, payload: bytes = b"x", **more: Any) -> tuple[Answer, UnaryCall]:
    """A unary call, and what the transport knows of it."""
    future = cast("Answer", c.channel.unary("/t.T/x", payload, timeout=30, **more))
    assert future.call is not None
    return future, future.call


def sent(future: asyncio.Future[Any]) -> bool:
    """What the error of a call says."""
    error = future.exception()
    assert isinstance(error, RpcError)
    return error.sent


@pytest.mark.parametrize("how", sorted(END))
async def test_what_left_before_the_socket_held_back_was_sent_and_what_came_later_was_not(how: str) -> None:
    """However the connection ends: the engine is not empty for as long as the socket is slow."""
    c = connected(ChannelOptions())
    windows(c)
    held_back(c)
    write, upload = call(c)[0], call(c, b"x" * 1_000_000)[0]
    await turns()
    assert c.connection.paused
    late = call(c)[0]
    await turns()
    END[how](c)
    await turns()
    assert frames(bytes(c.wire.out))[HEADERS] == {1, 3}
    assert [sent(write), sent(upload), sent(late)] == [True, True, False]


@pytest.mark.parametrize("how", sorted(END))
async def test_what_was_begun_in_the_turn_in_which_the_connection_ended_was_not_sent(how: str) -> None:
    """Nor does it leave behind the GOAWAY."""
    c = connected(ChannelOptions())
    future, _ = call(c)
    END[how](c)
    await turns()
    assert HEADERS not in frames(bytes(c.wire.out))
    assert not sent(future)


@pytest.mark.parametrize("how", sorted(END))
async def test_of_header_blocks_that_leave_in_parts_exactly_those_count_that_have_begun_to(how: str) -> None:
    """More of them than are written at once: what is in the socket is in doubt, what is in the engine is not."""
    c = connected(ChannelOptions())
    windows(c)
    held_back(c)
    calls = [call(c, metadata=(("key", f"{n:05}" * 1000),))[0] for n in range(30)]
    await turns()
    END[how](c)
    await turns()
    found = frames(bytes(c.wire.out))
    begun = found[HEADERS] | found.get(CONTINUATION, set())
    assert 1 < len(begun) < len(calls)
    assert [sent(future) for future in calls] == [stream in begun for stream in range(1, 61, 2)]


async def test_a_deadline_says_whether_the_request_had_left() -> None:
    """It passes alike for what the socket has and for what waits in the engine, which then never leaves."""
    c = connected(ChannelOptions())
    windows(c)
    held_back(c)
    (write, first), _ = call(c), call(c, b"x" * 1_000_000)
    await turns()
    late, second = call(c)
    await turns()
    for one in (first, second):
        one.expire()
    assert [(f.exception().code, sent(f)) for f in (write, late)] == [  # type: ignore[union-attr]  # both have failed
        (Code.DEADLINE_EXCEEDED, True),
        (Code.DEADLINE_EXCEEDED, False),
    ]
    del c.wire.write  # it takes everything again
    c.connection.resume_writing()
    await turns()
    found = frames(bytes(c.wire.out))
    assert (found[HEADERS], found[RST_STREAM]) == ({1, 3}, {1})
    await c.channel.close()


async def test_closing_the_channel_says_whether_the_request_had_left() -> None:
    """What waits in the engine then never leaves."""
    c = connected(ChannelOptions())
    c.link.connections.add(c.connection)
    windows(c)
    held_back(c)
    write, _ = call(c)[0], call(c, b"x" * 1_000_000)
    await turns()
    late = call(c)[0]
    await c.channel.close()
    await turns()
    assert [sent(write), sent(late)] == [True, False]
    assert frames(bytes(c.wire.out))[HEADERS] == {1, 3}


async def test_resets_of_what_has_left_are_rationed_while_the_socket_holds_back() -> None:
    """And what has not left is not reset, but never sent."""
    c = connected(ChannelOptions())
    windows(c)
    held_back(c)
    gone = [call(c)[0] for _ in range(150)]
    upload, _ = call(c, b"x" * 1_000_000)
    await turns()
    waiting = [call(c)[0] for _ in range(150)]
    for future in (*waiting, *gone):
        future.cancel()
    del c.wire.write
    c.connection.resume_writing()
    await turns()
    found = frames(bytes(c.wire.out))
    assert found[HEADERS] == set(range(1, 303, 2))
    assert 100 <= len(found[RST_STREAM]) < 150
    upload.cancel()
    await c.channel.close()


async def test_a_server_that_dies_with_a_whole_request_may_have_done_it() -> None:
    """The write beside large uploads reached it, though our side was never done with sending."""

    def act(peer: Peer, event: Any) -> None:
        if isinstance(event, ngh2.DataReceived) and event.end_stream:
            whole.append(event.data)
            peer.transport.abort()

    class Wide(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """With windows that hold up nobody."""
            self.transport = transport
            self.h2.initiate_connection({3: 1000, 4: 2**31 - 1})
            self.h2.set_local_window_size(2**31 - 1)
            self.flush()

    whole: list[bytes] = []
    async with answering(act, Wide) as (address, _):
        channel = FastTransport().connect(address)
        assert await channel.wait_ready(5)
        write = channel.unary("/t.T/write", b"debit", timeout=30)
        uploads = [channel.unary("/t.T/upload", b"x" * 4_000_000, timeout=30) for _ in range(8)]
        error = await failing(lambda: write)
        assert whole == [b"\0\0\0\0\5debit"]
        assert (error.code, error.sent) == (Code.UNAVAILABLE, True)
        await asyncio.gather(*uploads, return_exceptions=True)
        await channel.close()
