"""The third and fourth driver: real endpoints, a real dispatcher, and either aggregator."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from dispatcher.app import Dispatcher
from dispatcher.settings import Settings
from fanmesh import client_codec as codec
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import MS, seconds
from fanmesh.payload import to_value
from fanmesh.result import Budget
from fanmesh.transport.port import Channel, RpcError, Server, Transport
from fanmesh.v1.dispatcher_pb2 import DispatchResponse
from tests.conformance.casebook import ns
from tests.conformance.drivers import NOBODY, REAL_TICK, _lag, scrubbed
from tests.conformance.drivers import Stage as OtherStage
from tests.conformance.policies.casebook import Asked, PolicyCase, configuration, warm
from tests.conformance.policies.checking import Seen, SeenRequest, check, of_book, seen_in
from tests.conformance.policies.drivers import of
from tests.conformance.policies.scripted import Cast, server_of


class Played(NamedTuple):
    """A case on a real network: the answers as they came, and what was seen."""

    answers: list[DispatchResponse]
    seen: Seen


AT_ONCE = (32, 16, 8, 4, 2, 1)
"""How many cases are played beside each other, in the first round and in those for the cases that were held up."""

APART = 3 * MS
"""Between the beginnings of two cases that are played beside each other."""


class Stage(OtherStage):
    """Real endpoints, a real dispatcher, and, if it is `remote`, the Aggregator service as a process of its own.

    Endpoint number n of every case is one server: it knows whose call it is by the worker's name. Each case has a worker of its
    own, so that books do not mix, and many cases can be played at once.
    """

    def __init__(
        self, cases: list[PolicyCase], transport: Transport, *, remote: bool, directory: Path, tick: int = REAL_TICK
    ) -> None:
        super().__init__([], transport, remote=remote, directory=directory)
        self._tick = tick
        self._all = cases
        self._chance = 0.5
        self._cast = {case.name: Cast(case) for case in cases}
        self._fresh: list[Channel] = []
        self._addresses: dict[str, list[str]] = {}

    async def open(self) -> Self:
        """Start everything."""
        aggregator = self._start_aggregator() if self._remote else "embedded"
        most = max(len(case.endpoints) for case in self._all)
        self._servers = [await self._serve(index) for index in range(most)]
        for case in self._all:
            ports = [NOBODY + i if case.away(i) else self._servers[i].port for i in range(len(case.endpoints))]
            self._addresses[case.name] = [f"127.0.0.1:{port}" for port in ports]
        config = configuration(self._all, self._tick, self._addresses, aggregator=aggregator, drain="1s")
        settings = Settings(listen="127.0.0.1:0", ready_within=1.0, ack_limit=False)
        self._dispatcher = Dispatcher(config, settings, self._transport, lambda: self._chance)
        await self._dispatcher.start()
        if self._dispatcher._remote is not None:
            assert await self._dispatcher._remote.channel.wait_ready(10.0)
        self._channel = self._transport.connect(f"127.0.0.1:{self._dispatcher.port}")
        assert await self._channel.wait_ready(10.0)
        return self

    async def _serve(self, index: int) -> Server:
        server = self._transport.server("127.0.0.1:0", server_of(index, self._cast, self._tick))
        await server.start()
        return server

    def _forget(self, name: str, index: int) -> None:
        """Give the endpoint a channel that has not been tried: only the next call finds out that nobody is there."""
        channel = self._transport.connect(self._addresses[name][index])
        endpoint: Any = self._dispatcher._endpoints.of(name)[index]
        endpoint._channel, endpoint.ready = channel, channel.ready
        self._fresh.append(channel)

    async def close(self) -> None:
        """End everything."""
        for channel in self._fresh:
            await channel.close()
        await super().close()

    async def play_all(self, *, last: bool) -> dict[str, Played | Exception]:
        """Every case, many at once, those with the same random number beside each other. `last`: nobody will play them again.

        A run in which this process, which is dispatcher and endpoints at once, was held up for part of a tick proves nothing
        about what comes a tick apart: the case is repeated, with fewer beside it. Those that always were are left out. So is
        one that does not come out: a thread of gRPC that is late does not show in this process' loop. What it comes to alone,
        and in the end, is what counts.
        """
        played: dict[str, Played | Exception] = {}
        for at_once in AT_ONCE:
            left = sorted((case for case in self._all if case.name not in played), key=lambda case: case.chance)
            while left:
                self._chance = left[0].chance
                batch = [case for case in left[:at_once] if case.chance == self._chance]
                left = left[len(batch) :]
                runs = await asyncio.gather(*(self._play_one(case, place) for place, case in enumerate(batch)))
                counts = last and at_once == 1
                for case, run in zip(batch, runs, strict=True):
                    if run is not None and (counts or _right(case, run)):
                        played[case.name] = run
        return played

    async def _play_one(self, case: PolicyCase, place: int) -> Played | Exception | None:
        """The answers to a case; None if it was held up."""
        self._begin(case)
        await asyncio.sleep(seconds(place * APART))
        lag = asyncio.ensure_future(_lag())
        await asyncio.sleep(0)  # a task that is cancelled before it begins measures nothing
        loop = asyncio.get_running_loop()
        began, cast, failed = loop.time(), self._cast[case.name], None
        answers: list[DispatchResponse] = []
        try:
            answers = await asyncio.gather(*(self._ask(case, asked, began) for asked in case.requests))
        except RpcError as error:
            failed = error
        with suppress(TimeoutError):  # then the numbers tell
            await asyncio.wait_for(cast.quiet.wait(), 2.0)  # cancellations are under way
        lag.cancel()
        if await lag > self._tick // 4:  # a call passes the loop four times, late each time: then it may be a tick late
            return None
        if failed is not None:
            return failed
        if not all(self._merged_where_it_should(answer) for answer in answers):
            return None
        addresses = self._addresses[case.name]
        requests = [seen_on_the_wire(answer, addresses) for answer in answers]
        try:
            breakers, counts = of_book(self._dispatcher.books.of(case.name), addresses)
        except AssertionError as left_over:
            return left_over
        return Played(answers, Seen(requests, breakers, cast.calls, cast.cancels, counts, cast.told))

    def _begin(self, case: PolicyCase) -> None:
        """Everything as new."""
        self._dispatcher.books.workers.pop(case.name, None)
        self._cast[case.name] = Cast(case)
        addresses = self._addresses[case.name]
        warm(case, self._dispatcher.books.of(case.name), addresses, self._dispatcher._clock.now(), self._tick)
        for index in range(len(case.endpoints)):
            if case.away(index) == "gone":
                self._forget(case.name, index)

    async def _ask(self, case: PolicyCase, asked: Asked, began: float) -> DispatchResponse:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(began + seconds(round(asked.at * self._tick)) - loop.time())
        latency = ns(asked.latency, self._tick)
        budget = None if latency is None else Budget(latency=seconds(latency))
        message = codec.request(case.name, None, budget=budget, full_report=True)
        metadata = [] if asked.critical else [("fanmesh-criticality", "SHEDDABLE")]
        if asked.inherited is not AttemptKind.FIRST:
            metadata.append(("fanmesh-attempt-kind", asked.inherited.name.lower()))
        reply = await self._channel.unary(codec.DISPATCH, message.SerializeToString(), metadata=metadata)
        return DispatchResponse.FromString(reply.payload)


def _right(case: PolicyCase, run: Played | Exception) -> bool:
    """Whether a run came out as the case expects."""
    try:
        check(case, run.seen, REAL_TICK, exact=False)  # type: ignore[union-attr]  # an exception has none, and is not right
    except (AssertionError, AttributeError):
        return False
    return True


def seen_on_the_wire(response: DispatchResponse, addresses: list[str]) -> SeenRequest:
    """What a caller was told."""
    report = codec.report_in(response)
    assert report is not None
    value = to_value(response.result) if response.HasField("result") else None
    return seen_in(report.branches[0], of(value), None, addresses)


PORT = re.compile(r"127\.0\.0\.1:\d+")


def same(response: DispatchResponse) -> bytes:
    """The answer without ids, timings, endpoints and mode: all the rest is the same wherever the merge ran."""
    bare = DispatchResponse.FromString(response.SerializeToString())
    for row in bare.report.branches:
        row.status.message = PORT.sub("endpoint", row.status.message)
        for decision in row.decisions:
            for name in ("after", "endpoint"):
                decision.ClearField(name)
    bare.outcome.message = PORT.sub("endpoint", bare.outcome.message)
    return scrubbed(bare)
