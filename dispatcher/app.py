"""The composition root: the only file that knows every concrete class.

What outlives a request is made here (channels, books, servers) and closed here, in reverse order. A reload swaps the catalogue,
which every request pins when it arrives, and keeps the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from dispatcher.assembly import assemble, embedded
from dispatcher.config import EMBEDDED, Config
from dispatcher.flow.ports import AggregationSession, Deliver
from dispatcher.flow.reaper import TaskReaper
from dispatcher.layers.queue import reloaded
from dispatcher.policies.books import Books
from dispatcher.policies.breaker import State, Transition
from dispatcher.policies.failover import Why
from dispatcher.settings import Settings
from dispatcher.wire.aggregator_remote import RemoteAggregator
from dispatcher.wire.answering import Serving
from dispatcher.wire.as_worker import AsWorker, both
from dispatcher.wire.book_measures import BookMeasures
from dispatcher.wire.door import Door, Signals
from dispatcher.wire.endpoints import Endpoints, Found
from dispatcher.wire.explain import explainer
from dispatcher.wire.journal import Journal
from dispatcher.wire.measures import Measures
from dispatcher.wire.observers import combine
from dispatcher.wire.replays import Replays
from dispatcher.wire.servicer import DispatcherService
from dispatcher.wire.spans import Spans, trace_of
from dispatcher.wire.watching import Nudge
from fanmesh.model.times import seconds
from fanmesh.runtime import otlp_metrics, telemetry
from fanmesh.runtime.clock import LoopClock
from fanmesh.runtime.clock import uniform as random_uniform
from fanmesh.runtime.lag import LoopLag
from fanmesh.runtime.logs import logger
from fanmesh.runtime.memory import Memory
from fanmesh.runtime.metrics import Endpoint, Families, expose
from fanmesh.transport.choosing import Transports
from fanmesh.transport.port import Compression, Server, ServerOptions, Transport

DEFAULTS: Final = Settings()

FIXED: Final = ("listen", "metrics", "aggregator", "transport", "compression", "connection_age", "limits")
"""What a server is made with: a reload does not change it."""

SILENT: Final = 1.0
"""Seconds of waiting for workers that are not worth a line."""

REAP_WITHIN: Final = 2.0
"""Seconds that a stop waits for cancelled branches after the last reply."""


class Dispatcher:
    """One dispatcher process. `start` serves, `stop` drains. To be made while the loop runs.

    `transport`: in the place of `server.transport`. `uniform` gives the random numbers of the policies, in [0, 1), to those who
    want them to be always the same. UnknownTransport (a ValueError) if a transport is not installed.
    """

    def __init__(
        self,
        config: Config,
        settings: Settings = DEFAULTS,
        transport: Transport | None = None,
        uniform: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        self._uniform = uniform or random_uniform
        self.settings = settings
        self.reaper = TaskReaper()
        self._transports = Transports(transport or config.server.transport)
        self._check_transports(config)
        self._clock = LoopClock(asyncio.get_running_loop())
        self._log = logger("dispatcher")
        self._recorder = telemetry.start("fanmesh-dispatcher")
        self._lag = LoopLag(self._clock.now)
        self._memory = Memory(self._clock.now)
        self.books = Books()
        self.measures = Measures(lambda: self._lag.worst, lambda: self.config.version)
        self._endpoints = Endpoints(
            self._transports,
            self._clock,
            config.server.limits,
            drain=lambda: self.config.server.drain,
            dropped=self.books.drop,
        )
        self.door = Door(
            lambda: self.config.server.overload,
            Signals(self._clock.now, lambda: self._lag.recent, lambda: self._memory.used, random_uniform),
        )
        self.replays = Replays(lambda: self.config.server.idempotency, self._clock, self.reaper)
        self._remote: RemoteAggregator | None = None
        self._server: Server | None = None
        self._served = False
        self._stopping = False
        self._metrics: Endpoint | None = None
        self._pusher: otlp_metrics.Pusher | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port if self._server is not None else 0

    @property
    def metrics_port(self) -> int:
        """The port of /metrics; 0 if it is not served."""
        return self._metrics.port if self._metrics is not None else 0

    async def start(self) -> None:
        """Bind, connect, serve. Workers that do not answer yet are logged. OSError if an address is taken.

        Binding comes first: who has taken the port should be heard before, not after, waiting for workers.
        """
        server = self.config.server
        observer = combine(
            self.measures,
            Spans(self._recorder, self._clock.now),
            Journal(self._log, lambda: self._stopping),
            Nudge(self._endpoints.nudge),
        )
        engine = assemble(
            clock=self._clock,
            endpoints=self._endpoints.by,
            observer=observer,
            reaper=self.reaper,
            aggregate=self._aggregator(server.aggregator),
            books=self.books,
            stage=self.door.stage,
            uniform=self._uniform,
        )
        serving = Serving(
            engine=engine,
            catalogue=lambda: self.config.catalogue,
            era=self._endpoints.accepting,
            trace=lambda metadata: trace_of(metadata, self._recorder),
            explain=explainer(engine, self._endpoints.by),
            limits=server.limits,
            door=self.door,
            replays=self.replays,
        )
        routes = both(DispatcherService(serving).routes(), AsWorker(serving).routes())
        age = None if server.connection_age is None else seconds(server.connection_age)
        options = ServerOptions(connection_age=age, compression=Compression(server.compression))
        self._server = self._transports.default.server(self.settings.listen or server.listen, routes, options=options)
        books = BookMeasures(self.books, lambda: self.config.catalogue.workers, self._clock.now)
        families = Families((*self.measures.families, *self.door.families, *books.families))
        if (metrics := self.settings.metrics or server.metrics) is not None:
            host, _, port = metrics.rpartition(":")
            self._metrics = expose(families, host.strip("[]"), int(port))
        self._pusher = otlp_metrics.start(families, "fanmesh-dispatcher")
        self._endpoints.use(await self._connect(self.config))
        self._lag.start()
        await self._server.start()
        self._served = True
        self._log.info("serving", port=self.port, metrics=self.metrics_port, config=self.config.version)

    async def reload(self, config: Config) -> list[str]:
        """Let new requests run by `config`; those in flight keep theirs. Returns the keys that change with a restart only.

        UnknownTransport, and nothing is changed, if a worker's transport is not installed.
        """
        self._check_transports(config)
        found = await self._connect(config)
        fixed = [f"server.{key}" for key in FIXED if getattr(config.server, key) != getattr(self.config.server, key)]
        self.config = config  # and its endpoints, in the same step: no request sees one without the other
        self._endpoints.use(found)
        reloaded(self.books, config.catalogue.workers)
        self.books.caches.reloaded(config.catalogue.plans.values())
        if fixed:
            self._log.warning("takes effect with a restart", keys=fixed)
        self._log.info("reloaded", config=config.version)
        return fixed

    async def renewed(self, workers: Collection[str]) -> None:
        """These run anew: nothing is held against them any more, and they are connected to."""
        for worker in workers:
            for endpoint in self._endpoints.of(worker):
                self.books.drop(worker, endpoint.address)
        await self._endpoints.reach(workers, self.settings.ready_within)

    async def stop(self) -> None:
        """Say NOT_SERVING for as long as `server.announce` says, let requests end within `server.drain`, close everything."""
        server = self.config.server
        self._stopping = True
        if self._server is not None:
            await self._server.stop(seconds(server.drain), seconds(server.announce) if self._served else 0.0)
        self._lag.stop()
        if left := await self.reaper.drain(REAP_WITHIN, seconds(server.drain)):  # a write that was sent is seen to its end
            self._log.warning("branches have not ended", count=left, writes=self.reaper.writing)
        if self._remote is not None:
            await self._remote.aclose()
        await self._endpoints.aclose()
        loop = asyncio.get_running_loop()
        if self._metrics is not None:
            await loop.run_in_executor(None, self._metrics.close)
        if self._pusher is not None:
            await loop.run_in_executor(None, self._pusher.close)
        await loop.run_in_executor(None, self._recorder.close)

    async def _connect(self, config: Config) -> Found:
        found, unknown = await self._endpoints.find(config.catalogue.workers.values())
        aggregator = asyncio.ensure_future(self._reach_aggregator())
        for name in unknown:
            target, kept = config.catalogue.workers[name].target, found.addresses[name]
            self._log.warning("worker's name cannot be resolved", worker=name, target=target, calls_go_to=kept)
        if late := await self._endpoints.wait_ready(found, min(SILENT, self.settings.ready_within)):
            self._log.info("waiting for workers", addresses=late)
            late = await self._endpoints.wait_ready(found, max(0.0, self.settings.ready_within - SILENT))
        for address in late:
            self._log.warning("worker is not there yet", address=address)
        await aggregator
        for name, why in (await self._endpoints.learn(found, self.settings.ready_within)).items():
            self._log.warning("method is not known yet", worker=name, why=why)
        return found

    def _check_transports(self, config: Config) -> None:
        for worker in config.catalogue.workers.values():
            self._transports.of(worker.transport)

    async def _reach_aggregator(self) -> None:
        if self._remote is not None and not await self._remote.channel.wait_ready(self.settings.ready_within):
            self._log.warning("the aggregator is not there yet", address=self._remote.channel.address)

    def _aggregator(self, target: str) -> Callable[[Deliver, int], AggregationSession]:
        if target == EMBEDDED:
            return embedded
        self._remote = RemoteAggregator(
            self._transports.default,
            target,
            self._clock,
            self._merged_here,
            self._aggregator_changed,
            acks=self.settings.ack_limit,
        )
        return self._remote.open

    def _merged_here(self, why: str) -> None:
        if why != Why.BREAKER_OPEN.value:  # that it is left alone was said once
            self._log.warning("merged here instead of in the aggregator", why=why)

    def _aggregator_changed(self, change: Transition) -> None:
        if change.after is State.CLOSED:
            self._log.info("the aggregator is asked again")
        elif change.after is State.OPEN:
            self._log.warning("the aggregator is left alone for a while: requests are merged here", why=change.why.value)
