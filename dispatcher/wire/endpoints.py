"""The addresses of the workers, with one channel each.

One channel per address and not one for all addresses of a name: the library's own balancing hides which address answered,
and everything above (breaker, latency, hedges to another endpoint) needs to know.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from dispatcher.flow.ports import Clock
from dispatcher.layers.pick import Endpoint
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Worker
from dispatcher.wire.worker_call import GrpcEndpoint
from fanmesh.transport.port import Channel, ChannelOptions, Transport

READY_WITHIN: Final = 10.0
"""Seconds that start-up waits for workers before it serves without them."""


class Endpoints:
    """Every worker's endpoints. `of` is what `pick` reads; it never waits."""

    def __init__(self, transport: Transport, clock: Clock, limits: Limits) -> None:
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._channels: dict[str, Channel] = {}
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._local: set[str] = set()

    def of(self, worker: str) -> Sequence[Endpoint]:
        """The endpoints of a worker; none if its name could not be resolved."""
        return self._endpoints.get(worker, ())

    def add_local(self, worker: str, endpoint: Endpoint) -> None:
        """Let a worker be answered in this process."""
        self._local.add(worker)
        self._endpoints[worker] = (endpoint,)

    async def open(self, workers: Iterable[Worker]) -> list[str]:
        """Resolve, and make a channel for each new address. Returns the names of workers without an address."""
        remote = [worker for worker in workers if worker.name not in self._local]
        found = await asyncio.gather(*(addresses_of(worker) for worker in remote))
        for worker, addresses in zip(remote, found, strict=True):
            self._endpoints[worker.name] = tuple(self._endpoint(address) for address in addresses)
        return [worker.name for worker, addresses in zip(remote, found, strict=True) if not addresses]

    async def wait_ready(self, within: float = READY_WITHIN) -> list[str]:
        """Connect everywhere; the addresses that are not connected after `within` seconds."""
        channels = list(self._channels.values())
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
    except OSError:
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
