"""Calls to all addresses of a name in turn, for names behind which nobody looks otherwise.

What gRPC calls `dns` with `round_robin`: the name is resolved when first needed, and again when one of its addresses is lost,
since that is when the set has changed.
"""

from __future__ import annotations

import asyncio
import socket

from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import sleep
from fanmesh.transport.failures import closed
from fanmesh.transport.fast.address import Target
from fanmesh.transport.fast.client_call import ClientCall
from fanmesh.transport.fast.link import Link, State
from fanmesh.transport.fast.waiters import Waiters
from fanmesh.transport.port import ChannelOptions, RpcError


class Spread:
    """The links to the addresses of one name."""

    def __init__(self, address: str, target: Target, options: ChannelOptions) -> None:
        self._address = address
        self._target = target
        self._options = options
        self._links: dict[tuple[str, int], Link] = {}
        self._left: list[Link] = []  # of addresses that the name had: their calls may still run
        self._turn = 0
        self._failure = ""  # of the last attempt to resolve
        self._waiting: dict[ClientCall, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._waiters = Waiters()
        self._shut = False

    def submit(self, call: ClientCall) -> None:
        """Begin a call on the next link that is connected."""
        if self._shut:
            call.fail(closed(self._address))
        elif (link := self._next()) is not None:
            link.submit(call)
        elif failure := self._hopeless():
            call.fail(RpcError(Code.UNAVAILABLE, failure, sent=False))
        else:
            self._waiting[call] = None
            self._resolve()

    def forget(self, call: ClientCall) -> None:
        """A call that does not wait any more."""
        self._waiting.pop(call, None)
        for link in self._links.values():
            link.forget(call)

    def choosable(self) -> bool:
        """Whether a call made now has a chance."""
        if any(link.state is State.READY for link in self._links.values()):
            return True
        return not self._links and not self._failure and self._task is None

    async def ready(self) -> None:
        """Wait until one link is connected."""
        while not self._shut and self._next() is None:
            self._resolve()
            await self._waiters.wait()

    def shut(self) -> None:
        """End everything."""
        self._shut = True
        if self._task is not None:
            self._task.cancel()
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call.fail(closed(self._address))
        for link in (*self._links.values(), *self._left):
            link.shut()
        self._waiters.wake()

    def changed(self, link: Link) -> None:
        """A link is in another state: those who wait go on, and a lost one may mean that there are other addresses now."""
        if self._shut:
            return
        if link.state is State.READY:
            waiting, self._waiting = self._waiting, {}
            for call in waiting:
                self.submit(call)
        elif link.state in (State.IDLE, State.TRANSIENT_FAILURE):
            link.connect()
            self._again = True
            self._resolve()
            self._give_up()
        self._waiters.wake()

    def _next(self) -> Link | None:
        ready = [link for link in self._links.values() if link.state is State.READY]
        if not ready:
            return None
        self._turn += 1
        return ready[self._turn % len(ready)]

    def _hopeless(self) -> str:
        """Why no call has a chance now; empty if one may have."""
        if not self._links:
            return self._failure
        if all(link.state is State.TRANSIENT_FAILURE for link in self._links.values()):
            return next(iter(self._links.values())).failure
        return ""

    def _give_up(self) -> None:
        if failure := self._hopeless():
            waiting, self._waiting = self._waiting, {}
            for call in waiting:
                call.fail(RpcError(Code.UNAVAILABLE, failure, sent=False))

    # ---------------------------------------------------------------- resolving

    def _resolve(self) -> None:
        if self._task is None and (self._again or not self._links):
            self._task = asyncio.get_running_loop().create_task(self._resolving())

    async def _resolving(self) -> None:
        """Resolve, until there is an answer and nobody asks again. Once per longest backoff at most."""
        loop = asyncio.get_running_loop()
        while True:
            self._again = False
            try:
                async with asyncio.timeout(self._options.connect_timeout):
                    found = await loop.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
            except (OSError, ValueError) as e:  # ValueError: a name that is none
                self._failure = f"cannot resolve {self._address}: {e}"
                self._again = True
                self._give_up()
                self._waiters.wake()
            else:
                self._failure = ""
                self._take([(str(entry[4][0]), int(entry[4][1])) for entry in found])
            await sleep(int(self._options.reconnect_max * SECOND))
            if not self._again:
                self._task = None
                return

    def _take(self, found: list[tuple[str, int]]) -> None:
        """These are the addresses now: connect to the new ones, let the others end their calls."""
        wanted = dict.fromkeys(found)
        leaving = [self._links.pop(at) for at in list(self._links) if at not in wanted]
        for host, port in wanted:
            if (host, port) not in self._links:
                self._links[host, port] = Link(self._address, self._target.at(host, port), self._options, self)
        for link in list(self._links.values()):
            link.connect()
        self._left = [*(link for link in self._left if link.connections), *leaving]
        for link in leaving:
            link.leave()
