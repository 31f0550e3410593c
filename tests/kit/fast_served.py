"""A server of the fast transport, and a caller that says what a test tells it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ngh2

from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Routes, ServerOptions
from tests.kit.h2_peer import Peer, message, request
from tests.kit.peers import Worker

FAST = FastTransport()


@asynccontextmanager
async def serving(routes: Routes | None = None, options: ServerOptions | None = None) -> AsyncIterator[tuple[Any, Worker]]:
    """A server with these routes, or a Worker's."""
    worker = Worker()
    server = FAST.server("127.0.0.1:0", routes or worker.routes(), options=options or ServerOptions())
    await server.start()
    try:
        yield server, worker
    finally:
        await server.stop()
        assert server._running.count == 0


def ask(peer: Peer, path: bytes = b"/t.T/echo", payload: bytes = b"?", *more: tuple[bytes, bytes]) -> int:
    """Begin a unary call."""
    stream = peer.h2.send_request(request(path, *more))
    peer.h2.send_data(stream, message(payload), end_stream=True)
    peer.flush()
    return stream


async def status_of(peer: Peer, count: int = 1) -> dict[bytes, bytes]:
    """The trailers of the answer that ends as the `count`th, alone or behind messages."""
    await peer.wait(ngh2.StreamClosed, count)
    ends: list[Any] = [e for e in peer.events if isinstance(e, ngh2.TrailersReceived | ngh2.ResponseReceived)]
    return dict(next(e.headers for e in reversed(ends) if any(name == b"grpc-status" for name, _ in e.headers)))
