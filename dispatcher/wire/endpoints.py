"""The addresses of the workers, with one channel each.

One channel per address and not one for all addresses of a name: the library's own balancing hides which address answered,
and everything above (breaker, latency, hedges to another endpoint) needs to know.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from dispatcher.flow.ports import Clock
from dispatcher.layers.pick import Endpoint
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Worker
from dispatcher.wire.worker_call import GrpcEndpoint
from fanmesh.transport.port import Channel, ChannelOptions, Transport

Found: TypeAlias = dict[str, tuple[Endpoint, ...]]
"""Endpoints by worker."""

READY_WITHIN: Final = 10.0
"""Seconds that start-up waits for workers before it serves without them."""


class Endpoints:
    """Every worker's endpoints. `of` is what `pick` reads; it never waits."""

    def __init__(self, transport: Transport, clock: Clock, limits: Limits) -> None:
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._channels: dict[str, Channel] = {}
        self._endpoints: Found = {}
        self._local: set[str] = set()

    def of(self, worker: str) -> Sequence[Endpoint]:
        """The endpoints of a worker; none if its name could not be resolved."""
        return self._endpoints.get(worker, ())

    def add_local(self, worker: str, endpoint: Endpoint) -> None:
        """Let a worker be answered in this process."""
        self._local.add(worker)
        self._endpoints[worker] = (endpoint,)

    async def open(self, workers: Iterable[Worker]) -> list[str]:
        """Resolve and connect for the first time. Returns the names of workers without an address."""
        found, unknown = await self.find(workers)
        self.use(found)
        return unknown

    async def find(self, workers: Iterable[Worker]) -> tuple[Found, list[str]]:
        """Resolve, and make channels for new addresses; nobody uses them before `use`.

        Returns the endpoints by worker, and the names of workers without an address. A worker whose name cannot be resolved now
        keeps the addresses that it has.
        """
        remote = [worker for worker in workers if worker.name not in self._local]
        addresses = await asyncio.gather(*(addresses_of(worker) for worker in remote))
        found: Found = {}
        for worker, theirs in zip(remote, addresses, strict=True):
            fresh = tuple(self._endpoint(address) for address in theirs)
            found[worker.name] = fresh or self._endpoints.get(worker.name, ())
        return found, [name for name, endpoints in found.items() if not endpoints]

    def use(self, found: Found) -> list[Channel]:
        """Let new attempts go to these; returns the channels that nobody goes to any more."""
        local = {name: endpoints for name, endpoints in self._endpoints.items() if name in self._local}
        self._endpoints = {**found, **local}
        wanted = {endpoint.address for endpoints in found.values() for endpoint in endpoints}
        return [self._channels.pop(address) for address in set(self._channels) - wanted]

    async def wait_ready(self, found: Found, within: float = READY_WITHIN) -> list[str]:
        """Connect to these; the addresses that are not connected after `within` seconds."""
        wanted = {endpoint.address for endpoints in found.values() for endpoint in endpoints}
        channels = [channel for address, channel in self._channels.items() if address in wanted]
        ready = await asyncio.gather(*(channel.wait_ready(within) for channel in channels))
        return [channel.address for channel, up in zip(channels, ready, strict=True) if not up]

    async def aclose(self) -> None:
        """Close every channel."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self._channels.clear()

    def _endpoint(self, address: str) -> GrpcEndpoint:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._transport.connect(address, ChannelOptions())
        return GrpcEndpoint(channel, self._clock, self._limits)


async def addresses_of(worker: Worker) -> list[str]:
    """The addresses of a worker: its list, or what its target resolves to now. Empty if the name is not known."""
    if worker.endpoints:
        return list(worker.endpoints)
    target = worker.target
    if target.startswith("unix:"):
        return [target]
    host, _, port = target.removeprefix("dns:").removeprefix("///").removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the latter for a label that no name may have
        return []
    return distinct([str(sockaddr[0]) for _, _, _, _, sockaddr in found], int(port))


def distinct(hosts: Iterable[str], port: int) -> list[str]:
    """`host:port` of each address once, in the given order.

    Loopback names have an address in each family, but they are one host, where usually one family listens: IPv4 is kept.
    """
    addresses = [ipaddress.ip_address(host) for host in dict.fromkeys(hosts)]
    loopback4 = any(a.is_loopback and a.version == 4 for a in addresses)
    kept = [a for a in addresses if not (a.is_loopback and a.version == 6 and loopback4)]
    return [f"[{a}]:{port}" if a.version == 6 else f"{a}:{port}" for a in kept]
