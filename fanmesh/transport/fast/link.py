"""The way to one address: a connection that is made when first needed and again when lost, with backoff in between.

The states are those of gRPC's channels, since `pick` asks the same questions of both transports: a call made while nobody knows
better waits for the connection; one made after a failed attempt fails at once, while further attempts run in the background.
"""

from __future__ import annotations

import asyncio
import ssl
from enum import Enum, unique
from typing import Final, Protocol

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import sleep, uniform
from fanmesh.transport.failures import closed
from fanmesh.transport.fast.address import Target
from fanmesh.transport.fast.client_call import ClientCall
from fanmesh.transport.fast.client_connection import ClientConnection
from fanmesh.transport.fast.defences import OUR_RESETS, Ration
from fanmesh.transport.fast.waiters import Waiters
from fanmesh.transport.port import ChannelOptions, RpcError

GROWTH: Final = 1.6
JITTER: Final = 0.2
"""gRPC's connection backoff: each failed attempt waits 1.6 times as long, ±20 %."""


@unique
class State(Enum):
    """Of a link, as gRPC calls them."""

    IDLE = "no connection is wanted"
    CONNECTING = "the first attempt since it was wanted"
    READY = "connected"
    TRANSIENT_FAILURE = "the last attempt failed; the next one runs or waits"
    SHUTDOWN = "closed for good"


class Watcher(Protocol):
    """Who wants to know that a link has changed."""

    def changed(self, link: Link) -> None:
        """Its state is another one."""
        ...


class Link:
    """The way to `target`. `address` is what messages call it."""

    def __init__(self, address: str, target: Target, options: ChannelOptions, watcher: Watcher | None = None) -> None:
        self.address = address
        self.target = target
        self.options = options
        self.state = State.IDLE
        self.connection: ClientConnection | None = None
        """The one that takes calls; only in READY."""
        self.resets = Ration(*OUR_RESETS)
        self.failure = RpcError(Code.UNAVAILABLE, f"no connection to {address}", sent=False)
        self.connections: set[ClientConnection] = set()
        """That one, and those that drain."""
        self.waiting: dict[ClientCall, None] = {}
        self._watcher = watcher
        self._making: ClientConnection | None = None
        self._greeted: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiters = Waiters()

    def submit(self, call: ClientCall) -> None:
        """Begin a call: now, when there is a connection with room for it, or never."""
        connection = self.connection
        if connection is not None and connection.open_streams < connection.most_streams and not self.waiting:
            connection.open(call)
        elif self.state is State.TRANSIENT_FAILURE:
            call.fail(RpcError(self.failure.code, self.failure.message, sent=False))
        elif self.state is State.SHUTDOWN:
            call.fail(closed(self.address))
        else:
            self.waiting[call] = None
            self.connect()

    def forget(self, call: ClientCall) -> None:
        """A call that does not wait any more."""
        self.waiting.pop(call, None)

    def admit(self) -> None:
        """Begin what waits for the peer's limit of streams, as far as that allows."""
        while (
            self.waiting and (connection := self.connection) is not None and connection.open_streams < connection.most_streams
        ):
            call = next(iter(self.waiting))
            del self.waiting[call]
            connection.open(call)

    # ---------------------------------------------------------------- connecting

    def connect(self) -> None:
        """Connect, unless that is done or going on."""
        if self.state is State.IDLE:
            self._change(State.CONNECTING)
            self._task = asyncio.get_running_loop().create_task(self._keep_trying())

    async def _keep_trying(self) -> None:
        wait = self.options.reconnect_initial
        while True:
            try:
                await self._attempt()
            except (OSError, TimeoutError, ssl.SSLError, ConnectionError) as e:
                self._failed(e)
            else:
                return
            await sleep(int(wait * (1 + JITTER * (2 * uniform() - 1)) * SECOND))
            wait = min(wait * GROWTH, self.options.reconnect_max)

    async def _attempt(self) -> None:
        """One attempt: a socket, TLS, and the peer's SETTINGS."""
        loop = asyncio.get_running_loop()
        target, greeted = self.target, loop.create_future()
        self._greeted = greeted
        connection = self._making = ClientConnection(self)
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                if target.path:
                    name = target.authority if target.tls is not None else None
                    await loop.create_unix_connection(lambda: connection, target.path, ssl=target.tls, server_hostname=name)
                else:
                    await loop.create_connection(lambda: connection, target.host, target.port, ssl=target.tls)
                await greeted
            connection.ensure_open()
        except BaseException:
            self._making = self._greeted = None
            connection.end("the attempt to connect was given up")
            raise
        self._making = self._greeted = self._task = None
        self.connection = connection
        self.connections.add(connection)
        connection.keep_alive(self.options.keepalive_every, self.options.keepalive_timeout)
        self._change(State.READY)
        self.admit()

    def _failed(self, error: Exception) -> None:
        why = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        self.failure = RpcError(Code.UNAVAILABLE, f"cannot connect to {self.address}: {why}", sent=False)
        self._change(State.TRANSIENT_FAILURE)
        waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.fail(self.failure)

    # ---------------------------------------------------------------- what connections tell

    def greeted(self, connection: ClientConnection) -> None:
        """The peer's SETTINGS have come."""
        if connection is self._making and self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)

    def retired(self, connection: ClientConnection) -> None:
        """It takes no new calls, or has ended."""
        if connection is self._making and self._greeted is not None and not self._greeted.done():
            self._greeted.set_exception(ConnectionError(connection.failure))
        if connection.closed:
            self.connections.discard(connection)
        if connection is self.connection:
            self.connection = None
            self._change(State.IDLE)
            if self.waiting:
                self.connect()

    # ---------------------------------------------------------------- what others ask

    def choosable(self) -> bool:
        """Whether a call made now has a chance."""
        return self.state is State.READY or self.state is State.IDLE

    async def ready(self) -> None:
        """Connect, and wait for it as long as it takes, or until the link is closed."""
        while self.state not in (State.READY, State.SHUTDOWN):
            self.connect()
            await self._waiters.wait()

    def _change(self, state: State) -> None:
        self.state = state
        self._waiters.wake()
        if self._watcher is not None:
            self._watcher.changed(self)

    def shut(self, error: RpcError) -> None:
        """End all calls with `error`, and the connections."""
        self._change(State.SHUTDOWN)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.fail(closed(self.address))
        for connection in list(self.connections):
            for call in list(connection.streams.values()):
                call.refuse(error)
            connection.end("the channel was closed")
        self.connection = None
