"""From a worker to its addresses: what stands in the configuration, or what its name means now.

We resolve names, not grpc: a channel to a name goes to one of its addresses and does not say which, and everything above
(breaker, latency, hedges to another endpoint) needs to know.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from dispatcher.model.plan import Worker

Resolve: TypeAlias = Callable[[str], Awaitable[list[str]]]
"""Target → `host:port` of each address that it has now; empty if the name is not known. Does not block the loop."""


def is_opaque(worker: Worker) -> bool:
    """Whether its target is one endpoint as it is written, whatever stands behind it."""
    return worker.opaque or worker.target.startswith(("unix:", "xds:"))


def fixed_addresses(worker: Worker) -> list[str] | None:
    """The addresses of a worker that need no lookup, and so never change; None if its target is a name.

    A literal address becomes what a lookup of it would give, so that workers with the same address share a channel.
    """
    if is_opaque(worker):
        return [worker.target]
    if worker.endpoints:
        return list(worker.endpoints)
    host, port = host_port(worker.target)
    try:
        return distinct([host], port)
    except ValueError:
        return None


def host_port(target: str) -> tuple[str, int]:
    """Of `dns:///geo:50051`, `geo:50051`, `ipv4:1.2.3.4:50051` or `[::1]:50051`; the host without brackets."""
    host, _, port = target.removeprefix("dns:").removeprefix("///").removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")
    return host.strip("[]"), int(port)


async def resolve(target: str) -> list[str]:
    """What the system's resolver says: /etc/hosts, then DNS. It works in a thread, for as long as its own timeouts."""
    host, port = host_port(target)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the latter for a label that no name may have
        return []
    return distinct([str(sockaddr[0]) for _, _, _, _, sockaddr in found], port)


def distinct(hosts: Iterable[str], port: int) -> list[str]:
    """`host:port` of each address once, in the given order. ValueError if one is not an address.

    Loopback names have an address in each family, but they are one host, where usually one family listens: IPv4 is kept.
    """
    addresses = [ipaddress.ip_address(host) for host in dict.fromkeys(hosts)]
    loopback4 = any(a.is_loopback and a.version == 4 for a in addresses)
    kept = [a for a in addresses if not (a.is_loopback and a.version == 6 and loopback4)]
    return [f"[{a}]:{port}" if a.version == 6 else f"{a}:{port}" for a in kept]


class Lookups:
    """One lookup of a target at a time: who asks meanwhile gets the same answer.

    The resolver has few threads, and one that hangs must not take them all.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def of(self, worker: Worker) -> list[str]:
        """The addresses of a worker now."""
        fixed = fixed_addresses(worker)
        if fixed is not None:
            return fixed
        target = worker.target
        running = self._running.get(target)
        if running is None:
            running = self._running[target] = asyncio.ensure_future(self._resolve(target))
            running.add_done_callback(lambda _: self._running.pop(target, None))
        return await asyncio.shield(running)

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        for running in tuple(self._running.values()):
            running.cancel()
