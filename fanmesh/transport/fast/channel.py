"""A channel: calls to one address, over one link, or over one to each address of a name in turn.

In turn is for names behind which nobody looks, like a headless service that a client balances over; whoever picks among
endpoints itself makes a channel to each.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from fanmesh.transport.failures import closed
from fanmesh.transport.fast.address import parse
from fanmesh.transport.fast.client_call import ClientCall, UnaryCall
from fanmesh.transport.fast.client_streams import FastDuplex, FastStream
from fanmesh.transport.fast.deadlines import Deadlines
from fanmesh.transport.fast.link import Link
from fanmesh.transport.fast.spread import Spread
from fanmesh.transport.port import ChannelOptions, Metadata, Reply, RpcError


class Links(Protocol):
    """One link or many, as a channel needs them."""

    def submit(self, call: ClientCall) -> None:
        """Begin a call."""
        ...

    def forget(self, call: ClientCall) -> None:
        """A call that does not wait any more."""
        ...

    def choosable(self) -> bool:
        """Whether a call made now has a chance."""
        ...

    async def ready(self) -> None:
        """Wait for a connection."""
        ...

    def shut(self) -> None:
        """The end."""
        ...


class FastChannel:
    """One address."""

    __slots__ = ("_links", "_quiet", "address", "closed", "deadlines", "limit", "live", "loop")

    def __init__(self, address: str, options: ChannelOptions) -> None:
        target = parse(address, options.tls)
        if target.tls is not None:
            target.tls.set_alpn_protocols(["h2"])
        self.address = address
        self.closed = False
        self.loop = asyncio.get_running_loop()
        self.live: set[ClientCall] = set()
        """Calls that run."""
        self.deadlines = Deadlines(self.loop)
        """Theirs."""
        self.limit = options.receive_limit
        """The most bytes of a message."""
        self._quiet: asyncio.Future[None] | None = None
        self._links: Links = (
            Spread(address, target, options) if options.spread and target.host else Link(address, target, options)
        )

    def ready(self) -> bool:
        """Whether a call made now has a chance: connected, or never yet tried."""
        return not self.closed and self._links.choosable()

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109  (the limit of a probe)
        """Connect; whether it succeeded within `timeout` seconds."""
        if self.closed:
            return False
        try:
            async with asyncio.timeout(timeout):
                await self._links.ready()
        except TimeoutError:
            return False
        return not self.closed

    def unary(
        self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> asyncio.Future[Reply]:
        """One request, one answer; see the port. Its future does what a task would do for it: who gathers some needs none."""
        try:
            if self.closed:
                raise closed(self.address)
            call = UnaryCall(self, path, request, timeout, metadata)
        except RpcError as error:
            failed: asyncio.Future[Reply] = self.loop.create_future()
            failed.set_exception(error)
            return failed
        self._links.submit(call)
        return call.answer

    def stream(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> FastStream:
        """One request, many answers."""
        if self.closed:
            raise closed(self.address)
        call = FastStream(self, path, request, timeout, metadata)
        self._links.submit(call)
        return call

    def duplex(self, path: str, *, timeout: float | None = None, metadata: Metadata = ()) -> FastDuplex:
        """Many requests, many answers."""
        if self.closed:
            raise closed(self.address)
        call = FastDuplex(self, path, None, timeout, metadata)
        self._links.submit(call)
        return call

    def over(self, call: ClientCall) -> None:
        """A call has ended. May be repeated."""
        self.live.discard(call)
        if call.connection is None:
            self._links.forget(call)
        if not self.live and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    async def close(self, grace: float = 0.0) -> None:
        """Let calls in flight end for up to `grace` seconds, then cancel them."""
        if self.live and grace > 0:
            self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._quiet,), timeout=grace)
        self.closed = True
        self._links.shut()
        for call in list(self.live):  # one whose time was up before there was a connection, and is about to hear of it
            call.lost(f"the channel to {self.address} is closed")
        self.deadlines.close()
