"""A listening server: its sockets, its connections, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from fanmesh.model.times import MS, SECOND
from fanmesh.runtime.clock import sleep, uniform
from fanmesh.transport.fast import reflection
from fanmesh.transport.fast.defences import GREETING
from fanmesh.transport.fast.health import SERVICE, Health
from fanmesh.transport.fast.listening import BACKLOG, bind
from fanmesh.transport.fast.server_call import Kind
from fanmesh.transport.fast.server_connection import Route, ServerConnection
from fanmesh.transport.port import Compression, Routes, ServerOptions

TELL = 50 * MS
"""For those who watch health to hear NOT_SERVING before their connection is closed."""

_AGE_JITTER = 0.1


class _Running:
    """How many calls are being answered; health and reflection streams, which never end, do not count."""

    __slots__ = ("_idle", "count")

    def __init__(self) -> None:
        self.count = 0
        self._idle: asyncio.Future[None] | None = None

    def enter(self) -> None:
        self.count += 1

    def leave(self) -> None:
        self.count -= 1
        if not self.count and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def until_idle(self, within: float) -> None:
        """Wait until none runs, for at most so many seconds."""
        if self.count:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._idle,), timeout=within)


class FastServer:
    """A listening server with gRPC health and reflection beside its routes."""

    def __init__(self, listen: str, routes: Routes, names: Sequence[str], options: ServerOptions) -> None:
        self._options = options
        self._health = Health()
        self._running = _Running()
        self._connections: set[ServerConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._stopped = False  # takes no calls any more
        services = routes.services()
        self._names = (*services, *names)
        self._table = {
            **_table(self._health.routes(), quiet=True),
            **_table(reflection.routes((*services, SERVICE, *reflection.NAMES)), quiet=True),
            **_table(routes, quiet=False),
        }
        if options.tls is not None:
            options.tls.set_alpn_protocols(["h2"])
        self._path = listen.removeprefix("unix:").removeprefix("//") if listen.startswith("unix:") else ""
        self._sockets, self.port = bind(listen, reuse_port=options.reuse_port)

    async def start(self) -> None:
        """Accept calls."""
        self._health.set(self._names, serving=True)
        loop = asyncio.get_running_loop()
        for socket in self._sockets:
            make = loop.create_unix_server if self._path else loop.create_server
            tls = self._options.tls
            patience = None if tls is None else GREETING
            self._servers.append(
                await make(self._accept, sock=socket, ssl=tls, ssl_handshake_timeout=patience, backlog=BACKLOG)
            )

    def _accept(self) -> ServerConnection:
        options = self._options
        return ServerConnection(
            self._table,
            self._running,
            self._came,
            self._connections.discard,
            limit=options.receive_limit,
            encrypted=options.tls is not None,
            gzip=options.compression is Compression.GZIP,
        )

    def _came(self, connection: ServerConnection) -> None:
        """It is made. One that is accepted may never be (TLS), or only when nobody serves any more."""
        if self._stopped:
            connection.end("the server has stopped")
            return
        self._connections.add(connection)
        if (age := self._options.connection_age) is not None:
            connection.age(age * (1 + _AGE_JITTER * (2 * uniform() - 1)))

    async def set_serving(self, service: str, serving: bool) -> None:  # noqa: FBT001  (reads as a sentence)
        """What health says of `service`."""
        self._health.set((service,), serving=serving)

    async def stop(self, grace: float = 0.0, announce: float = 0.0) -> None:
        """Say NOT_SERVING, `announce` seconds later take no new calls, let those that run end for `grace`, cancel the rest."""
        watched = self._health.stop()
        if announce > 0 or (watched and grace > 0):
            await sleep(max(round(announce * SECOND), TELL if watched and grace > 0 else 0))
        self._stopped = True
        for server in self._servers:
            server.close()
        for socket in self._sockets:
            socket.close()
        self._unlink()
        if grace > 0:
            for connection in list(self._connections):
                connection.retire()
            await self._running.until_idle(grace)
        for connection in list(self._connections):
            connection.finish()

    def _unlink(self) -> None:
        if self._path:
            Path(self._path).unlink(missing_ok=True)
            self._path = ""


def _table(routes: Routes, *, quiet: bool) -> dict[bytes, Route]:
    """Routes by the bytes of their path."""
    return {
        path.encode(): Route(path, kind, handler, quiet)
        for kind, handlers in ((Kind.UNARY, routes.unary), (Kind.STREAM, routes.stream), (Kind.DUPLEX, routes.duplex))
        for path, handler in handlers.items()
    }
