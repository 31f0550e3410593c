"""Addresses that change under a running dispatcher, opaque targets and spare connections: on real channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.model.limits import Limits
from dispatcher.model.plan import Worker as Declared
from dispatcher.model.policy import HEDGED
from dispatcher.wire.endpoints import Endpoints
from fanmesh.model.fault import Code
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import LoopClock, now_ns
from fanmesh.transport.choosing import Transports
from fanmesh.v1 import report_pb2
from fanmesh.workers import Worker, serve, worker
from tests.kit.calls import ask
from tests.kit.mesh import At, Mesh, Told, plan, running, yielded
from tests.kit.never_sent import Connection, raw

pytestmark = pytest.mark.asyncio

NAME = "dns:///localhost:1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nudge is obeyed at once; that it is not in production is a unit test's to prove."""
    monkeypatch.setattr("dispatcher.wire.watching.LEAST", 0)


class Replica:
    """One of two servers behind a name: it says which one it is, and waits before that if it is told to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def worker(self) -> Worker[Any]:
        """What it serves."""

        @worker("geo")
        async def geo(_: Any) -> dict[str, int]:
            self.arrived.set()
            await self.gate.wait()
            return {"replica": self.number}

        return geo


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; it has to within ten seconds."""
    deadline = now_ns() + 10 * SECOND
    while not condition():
        assert now_ns() < deadline, "it did not come about"
        await yielded()


class Names:
    """What NAME means to a dispatcher; the first address is known from the start."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.addresses: list[str] = []
        mesh.dispatcher._endpoints._lookups._resolve = self.resolve

    async def resolve(self, target: str) -> list[str]:
        """In the place of the system's resolver."""
        assert target == NAME
        return self.addresses

    def now(self) -> list[str]:
        """Where the dispatcher calls now."""
        return [endpoint.address for endpoint in self.mesh.dispatcher._endpoints.of("geo")]

    async def mean(self, *addresses: str) -> None:
        """Let the name mean these, and wait until the dispatcher knows."""
        self.addresses = list(addresses)
        self.mesh.dispatcher._endpoints.nudge("geo")
        await until(lambda: self.now() == self.addresses)


@asynccontextmanager
async def replicas() -> AsyncIterator[tuple[Mesh, Names, list[Replica], list[Any]]]:
    """A dispatcher that knows the first of two replicas by name."""
    both = [Replica(0), Replica(1)]
    servers = [await serve(replica.worker()) for replica in both]
    geo = Told(At(NAME), {"policy": "standard"})
    try:
        async with running({"geo": geo}, {"p": plan("geo", budget="20s", merge="first")}, ready_within=0.05) as mesh:
            names = Names(mesh)
            await names.mean(f"127.0.0.1:{servers[0].port}")
            yield mesh, names, both, servers
    finally:
        for server in servers:
            await server.stop()


async def test_a_call_in_flight_ends_well_at_an_address_that_is_gone() -> None:
    """The removed address drains; new requests go to the new one at once; the books of the old one are dropped."""
    async with replicas() as (mesh, names, (first, _), servers):
        first.gate.clear()
        running_on = asyncio.ensure_future(mesh.dispatch(ask()))
        await asyncio.wait_for(first.arrived.wait(), 10)
        await names.mean(f"127.0.0.1:{servers[1].port}")
        assert (await mesh.dispatch(ask())).response.result.json == '{"replica":1}'
        books = mesh.dispatcher.books.of("geo").endpoints
        assert set(books) == {f"127.0.0.1:{servers[1].port}"}
        first.gate.set()
        assert (await running_on).response.result.json == '{"replica":0}'


async def test_a_call_that_fails_unavailable_makes_the_dispatcher_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the interval to pass, an hour here: the failed attempt itself is the sign."""
    monkeypatch.setattr("dispatcher.wire.watching.EVERY", 3600 * SECOND)
    async with replicas() as (mesh, names, _, servers):
        await servers[0].stop()
        names.addresses = [f"127.0.0.1:{servers[1].port}"]
        await mesh.dispatch(ask())
        await until(lambda: names.now() == names.addresses)
        assert (await mesh.dispatch(ask())).response.result.json == '{"replica":1}'


async def test_an_address_that_does_not_answer_yet_is_passed_over() -> None:
    """It is tried in the background from the moment that it is known; who is ready goes on serving."""

    async def never(c: Connection) -> None:
        await c.reader.read()

    async with replicas() as (mesh, names, _, servers), raw(never) as silent:
        ready = f"127.0.0.1:{servers[0].port}"
        await names.mean(ready, f"127.0.0.1:{silent}")
        await until(lambda: [one.ready() for one in mesh.dispatcher._endpoints.of("geo")] == [True, False])
        for _ in range(4):
            assert (await mesh.dispatch(ask())).response.result.json == '{"replica":0}'


async def test_an_opaque_name_is_resolved_by_grpc() -> None:
    """The target goes to the transport as it is written, and stands so in the report."""
    server = await serve(Replica(7).worker())
    target = f"dns:///localhost:{server.port}"
    geo = Told(At(target), {"endpoints": "opaque"})
    try:
        async with running({"geo": geo}, {"p": plan("geo", merge="first")}) as mesh:
            heard = await mesh.dispatch(ask())
            assert heard.response.result.json == '{"replica":7}'
            assert [attempt.endpoint for attempt in heard.row("geo").attempts] == [target]
    finally:
        await server.stop()


async def test_a_spare_endpoint_has_a_connection_of_its_own() -> None:
    """So that a hedge does not wait behind the call that it is to overtake."""
    connections: list[Connection] = []

    async def serve_raw(c: Connection) -> None:
        await c.shake()
        connections.append(c)
        await c.reader.read()

    async with raw(serve_raw) as port:
        endpoints = Endpoints(Transports(), LoopClock(asyncio.get_running_loop()), Limits())
        one = Declared("one", f"dns:///localhost:{port}", opaque=True)
        found, unknown = await endpoints.find([one, replace(one, name="hedged", policy=HEDGED)])
        endpoints.use(found)
        assert (unknown, await endpoints.wait_ready(found)) == ([], [])
        assert [endpoint.ready() for endpoint in endpoints.of("hedged")] == [True, True]
        assert len(connections) == 2
        await endpoints.aclose()


async def test_xds_without_a_bootstrap_is_unavailable_in_clear_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's branch fails and says what is missing; the dispatcher starts and serves the others."""
    monkeypatch.delenv("GRPC_XDS_BOOTSTRAP", raising=False)
    monkeypatch.delenv("GRPC_XDS_BOOTSTRAP_CONFIG", raising=False)
    workers = {"billing": At("xds:///billing"), "geo": Replica(1).worker()}
    async with running(workers, {"p": plan("billing", "geo")}, ready_within=0.05) as mesh:
        row = (await mesh.dispatch(ask())).row("billing")
        assert (row.state, Code(row.status.code)) == (report_pb2.BRANCH_STATE_FAILED, Code.UNAVAILABLE)
        assert "GRPC_XDS_BOOTSTRAP" in row.status.message
