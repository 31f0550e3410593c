"""The way to one address: a connection that is made when first needed and again when lost, with backoff in between.

The states are those of gRPC's channels, since `pick` asks the same questions of both transports: a call made while nobody knows
better waits for the connection; one made after a failed attempt fails at once, while further attempts run in the background.
"""

from __future__ import annotations

import asyncio
from enum import Enum, unique
from typing import Final, Protocol

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import now_ns, sleep, uniform
from fanmesh.transport.failures import closed, cut_off
from fanmesh.transport.fast.address import Target
from fanmesh.transport.fast.client_call import ClientCall
from fanmesh.transport.fast.client_connection import ClientConnection
from fanmesh.transport.fast.defences import OUR_RESETS, Ration
from fanmesh.transport.fast.dial import dial, expect_answers
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
    """Whose link it is, among others."""

    def submit(self, call: ClientCall) -> None:
        """Begin a call that this link has no connection for any more."""
        ...

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
        self.failure = f"no connection to {address}"
        """Why the last attempt failed."""
        self.connections: set[ClientConnection] = set()
        """That one, and those that drain."""
        self.waiting: dict[ClientCall, None] = {}
        self._watcher = watcher
        self._making: ClientConnection | None = None
        self._greeted: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._since = 0  # when the last connection was made
        self._pause = 0.0  # seconds before the next attempt
        self._next_pause = 0.0  # the same, should that connection be of no use, either
        self._waiters = Waiters()

    def submit(self, call: ClientCall) -> None:
        """Begin a call: now, when there is a connection with room for it, or never."""
        connection = self.connection
        if connection is not None and connection.open_streams < connection.most_streams and not self.waiting:
            connection.open(call)
        elif self.state is State.TRANSIENT_FAILURE:
            call.fail(self.unreachable())
        elif self.state is not State.SHUTDOWN:
            self.waiting[call] = None
            self.connect()
        elif self._watcher is not None:
            self._watcher.submit(call)
        else:
            call.fail(closed(self.address))

    def unreachable(self) -> RpcError:
        """What calls fail with in TRANSIENT_FAILURE. Another one for each, since who raises it adds frames to it."""
        return RpcError(Code.UNAVAILABLE, self.failure, sent=False)

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
        await _about(self._pause)
        while True:
            try:
                await self._attempt()
            except (OSError, ValueError) as e:  # ValueError: a name that is none
                self._failed(e)
            else:
                return
            await _about(wait)
            wait = min(wait * GROWTH, self.options.reconnect_max)

    async def _attempt(self) -> None:
        """One attempt: a socket, TLS, and the peer's SETTINGS."""
        loop = asyncio.get_running_loop()
        options, target, greeted = self.options, self.target, loop.create_future()
        self._greeted = greeted
        connection = self._making = ClientConnection(self)
        try:
            async with asyncio.timeout(options.connect_timeout):
                tls, name = target.tls, target.certified
                if target.path:
                    await loop.create_unix_connection(lambda: connection, target.path, ssl=tls, server_hostname=name)
                else:
                    sock = await dial(target.host, target.port)
                    expect_answers(sock, options.keepalive_every + options.keepalive_timeout)
                    await loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=name)
                await greeted
            connection.ensure_open()
        except BaseException:
            self._making = self._greeted = None
            connection.end("the attempt to connect was given up")
            raise
        self._making = self._greeted = self._task = None
        self.connection = connection
        self.connections.add(connection)
        self._since = now_ns()
        connection.keep_alive(options.keepalive_every, options.keepalive_timeout)
        self._change(State.READY)
        self.admit()

    def _failed(self, error: Exception) -> None:
        why = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        self.failure = f"cannot connect to {self.address}: {why}"
        self._change(State.TRANSIENT_FAILURE)
        waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.fail(self.unreachable())

    def _judge(self, connection: ClientConnection) -> None:
        """A peer that greets and hangs up, again and again, is to be left alone for a while, as if it could not be reached."""
        if connection.usual or now_ns() - self._since >= self.options.reconnect_initial * SECOND:
            self._pause = self._next_pause = 0.0
        else:
            self._pause = self._next_pause
            longer = max(self._next_pause * GROWTH, self.options.reconnect_initial)
            self._next_pause = min(longer, self.options.reconnect_max)

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
            self._judge(connection)
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
        if self.state is not State.SHUTDOWN:
            self.state = state
            self._waiters.wake()
            if self._watcher is not None:
                self._watcher.changed(self)

    # ---------------------------------------------------------------- the end

    def leave(self) -> None:
        """Take no calls any more: those that wait go to the watcher, those that run may end, and nobody connects again."""
        waiting = self._stop()
        for connection in list(self.connections):
            connection.retire()
        for call in waiting:
            self.submit(call)

    def shut(self) -> None:
        """End all calls, and the connections."""
        for call in self._stop():
            call.fail(closed(self.address))
        for connection in list(self.connections):
            for running in list(connection.streams.values()):
                running.refuse(closed(self.address) if running.unsent() else cut_off(self.address))
            connection.end("the channel was closed")

    def _stop(self) -> list[ClientCall]:
        """SHUTDOWN. Returns the calls that waited."""
        self.connection = None
        self._change(State.SHUTDOWN)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        waiting, self.waiting = list(self.waiting), {}
        return waiting


async def _about(seconds: float) -> None:
    """Wait so long, more or less: who lost the same server must not come back to it together."""
    if seconds:
        await sleep(int(seconds * (1 + JITTER * (2 * uniform() - 1)) * SECOND))
