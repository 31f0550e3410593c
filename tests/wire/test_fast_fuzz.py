"""Peers that say anything at all: no crash, no call that hangs, no stream or task that stays behind.

Over pairs of protocol and engine without sockets, so that thousands of conversations are cheap. What is said is well-formed
up to some point, since noise alone ends at the first frame.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ngh2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fanmesh.transport.fast.client_call import UnaryCall
from fanmesh.transport.fast.client_streams import FastDuplex
from fanmesh.transport.fast.server import _Running, _table
from fanmesh.transport.fast.server_connection import ServerConnection
from fanmesh.transport.port import ChannelOptions, RpcError
from tests.kit.h2_peer import message
from tests.kit.peers import Worker
from tests.kit.scripted import Scripted, Wire, connected, turns

FRAME = st.builds(
    lambda kind, flags, stream, body: len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body,
    st.integers(0, 12),
    st.integers(0, 255),
    st.one_of(st.sampled_from([0, 1, 2, 3, 5]), st.integers(0, 2**32 - 1)),
    st.binary(max_size=60),
)
"""Any frame, right or wrong."""

FIELDS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *((b"grpc-status", b"0"), (b"grpc-status", b"x"), (b"grpc-message", b"%"), (b"grpc-timeout", b"1m")),
                *((b"grpc-encoding", b"gzip"), (b"grpc-encoding", b"br"), (b"k-bin", b"!"), (b"grpc-timeout", b"?")),
                (b"grpc-accept-encoding", b"identity, gzip"),
            ]
        ),
        st.tuples(st.from_regex(rb"[a-z-]{1,10}", fullmatch=True), st.from_regex(rb"[!-~]{0,20}", fullmatch=True)),
    ),
    max_size=5,
)
BODY = st.one_of(
    st.binary(max_size=50), st.binary(max_size=30).map(message), st.binary(max_size=20).map(lambda b: b"\1" + message(b)[1:])
)

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("headers"), FIELDS, st.booleans()),
        st.tuples(st.just("data"), BODY, st.booleans()),
        st.tuples(st.just("trailers"), FIELDS, st.booleans()),
        st.tuples(st.just("reset"), st.integers(0, 14), st.booleans()),
        st.tuples(st.just("goaway"), st.integers(0, 7), st.booleans()),
        st.tuples(st.just("frame"), FRAME, st.booleans()),
        st.tuples(st.just("noise"), st.binary(max_size=30), st.booleans()),
        st.tuples(st.just("turn"), st.none(), st.booleans()),
    ),
    max_size=12,
)
"""What a peer does; the last of each is a choice of the act: which stream, or whether it ends."""


async def serve_one(acts: list[tuple[str, Any, bool]]) -> None:
    """A conversation with our server."""
    wire, running, came, gone = Wire(), _Running(), [], []
    connection = ServerConnection(
        _table(Worker().routes(), quiet=False), running, came.append, gone.append, limit=1000, encrypted=False, gzip=True
    )
    connection.connection_made(wire)
    peer = Scripted(ngh2.Role.CLIENT, wire, connection.data_received)
    peer.exchange()
    for what, how, choice in acts:
        peer.act(what, how, choice)
        peer.exchange()
        if what == "turn":
            await turns(2)
    await turns()
    peer.exchange()
    connection.connection_lost(None)
    await turns()
    assert not connection.calls
    assert all(timer.cancelled() for timer in connection._timers.values()), "a timer keeps it alive"
    assert running.count == 0
    assert came == gone == [connection]


async def call_one(acts: list[tuple[str, Any, bool]]) -> None:
    """A conversation with our client, which has a unary call and a bidirectional one running."""
    channel, link, connection, _, peer = connected(ChannelOptions(receive_limit=1000))
    unary = UnaryCall(channel, "/t.T/echo", b"x", None, ())
    duplex = FastDuplex(channel, "/t.T/chat", None, None, ())
    connection.open(unary)
    connection.open(duplex)
    await turns(2)
    peer.exchange()
    for what, how, choice in acts:
        peer.act(what, how, choice)
        peer.exchange()
        if what == "turn":
            await turns(2)
    await turns()
    peer.exchange()
    connection.connection_lost(None)
    link.shut()  # a call that waits for another connection ends, too
    await turns()
    assert unary.answer.done()
    if unary.answer.exception() is not None:
        assert isinstance(unary.answer.exception(), RpcError)
    try:
        while await asyncio.wait_for(duplex.read(), 5) is not None:
            pass
    except RpcError:
        pass
    with pytest.raises(RpcError):
        await duplex.write(b"more")
    await duplex.aclose()
    assert not connection.streams
    assert not connection.waiting


def converse(one: Callable[[list[tuple[str, Any, bool]]], Any], acts: list[tuple[str, Any, bool]]) -> None:
    """In a loop of its own; a task that is left, or an exception that nobody saw, is a failure."""
    unseen: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        await one(acts)
        await turns()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(main())
    assert not unseen


quick = settings(suppress_health_check=[HealthCheck.too_slow])


@quick
@given(ACTS)
def test_a_server_survives_any_client(acts: list[tuple[str, Any, bool]]) -> None:
    """Whatever it says, in whatever order."""
    converse(serve_one, acts)


@quick
@example([("headers", [], False), ("headers", [], True)])
@given(ACTS)
def test_a_client_survives_any_server(acts: list[tuple[str, Any, bool]]) -> None:
    """And every call ends with an answer or a status."""
    converse(call_one, acts)


@settings(quick, max_examples=2000, deadline=None)  # in a process that pytest's profiles do not reach
@given(ACTS, st.booleans())
def thousands(acts: list[tuple[str, Any, bool]], serving: bool) -> None:  # noqa: FBT001
    """The same, more of it."""
    converse(serve_one if serving else call_one, acts)


@pytest.mark.slow
def test_thousands_of_conversations() -> None:
    """In a process of their own: the engine is native, and what it did to this one would show in somebody else's test."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.wire.test_fast_fuzz"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr


if __name__ == "__main__":
    thousands()
