"""The addresses of the workers, with one channel each.

One channel per address and not one for all addresses of a name: the library's own balancing hides which address answered,
and everything above (breaker, latency, hedges to another endpoint) needs to know. Where the target is opaque there is nothing
to know, and a hedge has only a second connection to go by: the spare channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dispatcher.flow.ports import Clock
from dispatcher.layers.pick import Endpoint
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Worker
from dispatcher.wire.eras import Era, Replaced
from dispatcher.wire.learning import Learning
from dispatcher.wire.method_call import MethodEndpoint
from dispatcher.wire.resolving import Lookups, Resolve, fixed_addresses, is_opaque, resolve
from dispatcher.wire.watching import Watcher
from dispatcher.wire.worker_call import GrpcEndpoint
from fanmesh.model.times import SECOND, seconds
from fanmesh.transport.choosing import Transports
from fanmesh.transport.port import Channel, ChannelOptions, Compression

READY_WITHIN: Final = 10.0
"""Seconds that start-up waits for workers before it serves without them, and a new address is helped to connect."""

LEARN_WITHIN: Final = 2.0
"""Seconds that an engine in a program waits, before its first request, for servers to say what their methods take."""

DRAIN: Final = 20 * SECOND
"""How long calls to an address that is gone may go on."""


class Key(NamedTuple):
    """A channel: its address, whether it is the spare one, the name of its transport, and what it does to what it sends."""

    address: str
    spare: bool
    transport: str
    compression: str


def key_of(worker: Worker, address: str, *, spare: bool = False) -> Key:
    """The channel of a worker at an address."""
    return Key(address, spare, worker.transport, worker.compression)


@dataclass(frozen=True, slots=True)
class Found:
    """What `find` found. `version` is that of the endpoints when it began to look."""

    workers: dict[str, Worker]
    addresses: dict[str, list[str]]
    version: int

    def keys(self, worker: str) -> list[Key]:
        """The channels of a worker."""
        return keys_of(self.workers[worker], self.addresses[worker])


def keys_of(worker: Worker, addresses: Iterable[str]) -> list[Key]:
    """The channels that a worker with these addresses needs: one each, and a spare one if only that lets it hedge."""
    hedges = is_opaque(worker) and worker.policy.hedge is not None
    spares = (False, True) if hedges else (False,)
    return [key_of(worker, address, spare=spare) for address in addresses for spare in spares]


def addresses_in(endpoints: Sequence[Endpoint]) -> list[str]:
    """Each address once, in order."""
    return list(dict.fromkeys(endpoint.address for endpoint in endpoints))


def place_of(worker: Worker) -> object:
    """What a worker's endpoints follow from: while it stays the same, new ones are as good for old requests."""
    hedges = worker.policy.hedge is not None
    return worker.target, worker.endpoints, worker.opaque, worker.method, worker.transport, worker.compression, hedges


def _keys(worker: Worker, known: Iterable[Endpoint]) -> Iterator[Key]:
    """The channels that endpoints of a worker are on."""
    return (key_of(worker, one.address, spare=one.spare) for one in known)


class Endpoints:
    """Every worker's endpoints. `by` is what `pick` reads; it never waits.

    Those of a worker that a reload removes, or sends elsewhere, stay until the requests have ended that were accepted before.

    `drain` gives the ns that calls to an address that is gone may go on. `dropped(worker, address)` is told of each such
    address at once.
    """

    def __init__(
        self,
        transports: Transports,
        clock: Clock,
        limits: Limits,
        *,
        drain: Callable[[], int] = lambda: DRAIN,
        dropped: Callable[[str, str], None] = lambda _worker, _address: None,
        resolve: Resolve = resolve,
    ) -> None:
        self._transports = transports
        self._clock = clock
        self._limits = limits
        self._drain = drain
        self._dropped = dropped
        self._lookups = Lookups(resolve)
        self._watcher = Watcher(clock, self._lookups.of, self._changed)
        self._learning = Learning(clock, self._channel_to)
        self._channels: dict[Key, Channel] = {}
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._workers: dict[str, Worker] = {}
        self._past: list[Era] = []  # with requests that still run by them, or by an older one; oldest first
        self._era = Era(self._settle)
        self._local: set[str] = set()
        self._coming: Found | None = None  # what has been found and is not used yet
        self._version = 0
        self._changed_at: dict[str, int] = {}  # the version at which a lookup of ours last changed a worker
        self._tasks: set[asyncio.Task[object]] = set()
        self._draining: set[Channel] = set()

    def of(self, worker: str) -> Sequence[Endpoint]:
        """The endpoints of a worker; none if its name could not be resolved."""
        return self._endpoints.get(worker, ())

    def by(self, worker: Worker) -> Sequence[Endpoint]:
        """The endpoints of a worker as a request knows it: those it has now, or had when the request began."""
        now = self._workers.get(worker.name)
        if now is worker or (self._past and now is not None and place_of(now) == place_of(worker)):
            return self._endpoints.get(worker.name, ())
        for era in reversed(self._past):
            kept = era.replaced.get(worker.name)
            if kept is not None and (kept[0] is worker or place_of(kept[0]) == place_of(worker)):
                return kept[1]
        return self._endpoints.get(worker.name, ())

    def accepting(self) -> Era:
        """The era of a request that is accepted now; it has to be entered in the next turn of the loop at the latest."""
        self._era.taken = True
        return self._era

    def nudge(self, worker: str) -> None:
        """A worker could not be reached: look its name up again soon, once a second at most."""
        self._watcher.nudge(worker)

    def add_local(self, worker: str, endpoint: Endpoint) -> None:
        """Let a worker be answered in this process."""
        self._local.add(worker)
        self._endpoints[worker] = (endpoint,)

    async def open(self, workers: Iterable[Worker]) -> list[str]:
        """Resolve and connect for the first time. Returns the names of workers without an address."""
        found, unknown = await self.find(workers)
        await self.learn(found)
        self.use(found)
        return unknown

    async def find(self, workers: Iterable[Worker]) -> tuple[Found, list[str]]:
        """Resolve, and make channels for new addresses; nobody uses them before `use`.

        Returns the addresses by worker, and the workers whose name could not be resolved. These keep the addresses that they
        have, also if they are to be found under another name now: a reload during an outage of DNS must not take them down.
        """
        remote = {worker.name: worker for worker in workers if worker.name not in self._local}
        version = self._version
        answers = await asyncio.gather(*(self._lookups.of(worker) for worker in remote.values()))
        addresses = {name: answer or addresses_in(self.of(name)) for name, answer in zip(remote, answers, strict=True)}
        found = Found(remote, addresses, version)
        for name in remote:
            for key in found.keys(name):
                self._channel(key)
        return found, [name for name, answer in zip(remote, answers, strict=True) if not answer]

    def use(self, found: Found) -> None:
        """Let new requests go to these, watch their names, and let go of the addresses that nobody goes to any more.

        A name that has been looked up again since `find` began keeps the newer answer. Requests that run keep what they had.
        """
        before, replaced = self._endpoints, self._replaced_by(found)
        self._coming = None
        self._endpoints = {name: before[name] for name in self._local}
        self._version += 1
        for name, worker in found.workers.items():
            addresses = addresses_in(before[name]) if self._newer(worker, found.version) else found.addresses[name]
            self._endpoints[name] = self._made(worker, addresses)
        self._workers = found.workers
        self._changed_at = {name: at for name, at in self._changed_at.items() if name in found.workers}
        self._end_era(replaced)
        for name, old in before.items():
            if name not in replaced:
                self._forget(name, old)
        self._release(set(self._channels) - self._used())
        self._watcher.watch(found.workers.values())
        self._learning.keep(name for name, worker in found.workers.items() if worker.method is not None)

    async def learn(self, found: Found, within: float = LEARN_WITHIN) -> dict[str, str]:
        """Ask the servers of foreign methods what these take. Returns those still unknown after `within` seconds, and why."""
        self._coming = found
        for name, worker in found.workers.items():
            if worker.method is not None:
                self._learning.of(name, worker.method)
        self._learning.refresh()
        await self._learning.settled(within)
        return {name: why for name, why in self._learning.unknown().items() if name in found.workers}

    async def wait_ready(self, found: Found, within: float = READY_WITHIN) -> list[str]:
        """Connect to these; the addresses that are not connected after `within` seconds."""
        keys = dict.fromkeys(key for name in found.workers for key in found.keys(name))
        channels = [self._channels[key] for key in keys if key in self._channels]
        ready = await asyncio.gather(*(channel.wait_ready(within) for channel in channels))
        return list(dict.fromkeys(channel.address for channel, up in zip(channels, ready, strict=True) if not up))

    async def reach(self, workers: Iterable[str], within: float) -> None:
        """Connect to these again, for up to `within` seconds."""
        known = [(worker, self.of(worker.name)) for name in workers if (worker := self._workers.get(name)) is not None]
        channels = [self._channels[key] for worker, endpoints in known for key in _keys(worker, endpoints)]
        await asyncio.gather(*(channel.wait_ready(within) for channel in channels))

    async def aclose(self) -> None:
        """Watch nobody, and close every channel, those that drain included."""
        self._watcher.close()
        await self._learning.aclose()
        self._lookups.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in (*self._channels.values(), *self._draining)))
        self._channels.clear()
        self._draining.clear()

    def _changed(self, worker: Worker, addresses: list[str]) -> None:
        """A lookup gave these. The order of a name's addresses means nothing: the old ones stay where they are."""
        old = self.of(worker.name)
        known, now = addresses_in(old), set(addresses)
        if set(known) == now:
            return
        self._version += 1
        self._changed_at[worker.name] = self._version
        fresh = [address for address in dict.fromkeys(addresses) if address not in known]
        for address in fresh:
            self._start(self._channel(key_of(worker, address)).wait_ready(READY_WITHIN))
        self._endpoints[worker.name] = self._made(worker, [*(address for address in known if address in now), *fresh])
        self._forget(worker.name, old)
        self._release({key_of(worker, address) for address in known} - self._used())

    def _replaced_by(self, found: Found) -> Replaced:
        """The workers whose requests would find no endpoint, or another's, once `found` is in use."""
        return {
            name: (worker, self._endpoints[name])
            for name, worker in self._workers.items()
            if (then := found.workers.get(name)) is None or place_of(then) != place_of(worker)
        }

    def _end_era(self, replaced: Replaced) -> None:
        """Keep what was replaced while anybody runs who began before. Who was just accepted enters in this turn of the loop."""
        era, self._era = self._era, Era(self._settle)
        era.replaced = replaced
        self._past.append(era)
        if era.taken:
            asyncio.get_running_loop().call_soon(self._over, era)
        else:
            self._over(era)

    def _over(self, era: Era) -> None:
        era.over = True
        self._settle()

    def _settle(self) -> None:
        """Let go of what only requests needed that have ended."""
        while self._past and self._past[0].over and not self._past[0].running:
            replaced = self._past.pop(0).replaced
            for name, (_, old) in replaced.items():
                self._forget(name, old)
            self._release({key for worker, old in replaced.values() for key in _keys(worker, old)} - self._used())

    def _used(self) -> set[Key]:
        """The channels that somebody may still be sent to."""
        now = ((worker, self.of(name)) for name, worker in self._workers.items())
        past = (kept for era in self._past for kept in era.replaced.values())
        return {key for worker, known in (*now, *past) for key in _keys(worker, known)}

    def _newer(self, worker: Worker, version: int) -> bool:
        """Whether a lookup of ours has changed this worker after `version`, and it still is the same name."""
        known = self._workers.get(worker.name)
        same = known is not None and known.target == worker.target and fixed_addresses(worker) is None
        return same and self._changed_at.get(worker.name, 0) > version

    def _made(self, worker: Worker, addresses: Iterable[str]) -> tuple[Endpoint, ...]:
        keys = keys_of(worker, dict.fromkeys(addresses))
        if worker.method is not None:
            known = self._learning.of(worker.name, worker.method)
            return tuple(MethodEndpoint(self._channel(key), self._clock, self._limits, known, spare=key.spare) for key in keys)
        return tuple(GrpcEndpoint(self._channel(key), self._clock, self._limits, spare=key.spare) for key in keys)

    def _channel_to(self, worker: str) -> Channel | None:
        """Some connection to a worker, one that is ready if there is any."""
        coming = None if self._coming is None else self._coming.addresses.get(worker)
        addresses = addresses_in(self.of(worker)) if coming is None else coming
        known = self._workers.get(worker) if coming is None or self._coming is None else self._coming.workers[worker]
        keys = [key_of(known, address) for address in addresses] if known is not None else []
        channels = [self._channels[key] for key in keys if key in self._channels]
        return next((channel for channel in channels if channel.ready()), channels[0] if channels else None)

    def _channel(self, key: Key) -> Channel:
        channel = self._channels.get(key)
        if channel is None:
            options = ChannelOptions(spread=key.address.startswith("dns:"), compression=Compression(key.compression))
            channel = self._channels[key] = self._transports.of(key.transport).connect(key.address, options)
        return channel

    def _forget(self, worker: str, old: Sequence[Endpoint]) -> None:
        left = addresses_in(self.of(worker))
        for address in addresses_in(old):
            if address not in left:
                self._dropped(worker, address)

    def _release(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if (channel := self._channels.pop(key, None)) is not None:
                self._draining.add(channel)
                self._start(self._end(channel))

    async def _end(self, channel: Channel) -> None:
        await channel.close(seconds(self._drain()))
        self._draining.discard(channel)

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        self._tasks.add(task := asyncio.ensure_future(work))
        task.add_done_callback(self._tasks.discard)
