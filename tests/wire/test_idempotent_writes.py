"""Whoever loses its connection after a write was sent asks again with the same key, and is told how that write ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import Fault, worker
from tests.kit.calls import PATIENCE, Heard, ask
from tests.kit.mesh import Mesh, Told, plan, running, yielded
from tests.kit.roles import Gated, Hanging, says

pytestmark = pytest.mark.asyncio

KEYED = ask(idempotency_key="k")
WRITE = {"effect": "write"}
REPLAYED = "fanmesh-replayed"
SNAPSHOT: Any = 2


@pytest_asyncio.fixture
async def gate() -> Gated:
    """The write: done when it may be."""
    return Gated("done")


@pytest_asyncio.fixture
async def mesh(gate: Gated) -> AsyncIterator[Mesh]:
    """A plan of that write alone."""
    server = {"drain": "60s"}
    async with running({"w": Told(gate.worker, WRITE)}, {"p": plan("w", budget="60s")}, server=server) as mesh:
        yield mesh


async def hung_up(mesh: Mesh, call: asyncio.Task[Heard]) -> None:
    """Cancel the call, and wait until its dispatcher has heard of that."""
    inside = mesh.dispatcher.door.in_flight
    call.cancel()
    async with asyncio.timeout(PATIENCE):
        while mesh.dispatcher.door.in_flight == inside:
            await yielded()


async def sent(mesh: Mesh, gate: Gated, *, stream: bool = False) -> None:
    """A keyed request has sent its write, and nobody waits for it any more."""
    call = asyncio.create_task(mesh.stream(KEYED, emit=SNAPSHOT) if stream else mesh.dispatch(KEYED))
    await gate.all_called(1)
    await hung_up(mesh, call)


@pytest.mark.parametrize("stream", [False, True], ids=["Dispatch", "DispatchStream"])
async def test_who_asks_again_joins_the_write_that_goes_on(mesh: Mesh, gate: Gated, *, stream: bool) -> None:
    """However often somebody hangs up: the write is sent once, and its answer is that of the request."""
    await sent(mesh, gate, stream=stream)
    assert mesh.dispatcher.replays.running == 1
    again = asyncio.create_task(mesh.dispatch(KEYED))
    async with asyncio.timeout(PATIENCE):
        while not mesh.dispatcher.door.in_flight:
            await yielded()
    await hung_up(mesh, again)
    last = asyncio.create_task(mesh.dispatch(KEYED))
    gate.open.set()
    heard = await last
    assert (heard.code, heard.response.result.json) == (Code.OK, '{"w":"done"}')
    assert not gate.called_again
    assert mesh.dispatcher.reaper.detached == 1


async def test_who_asks_when_it_has_ended_is_told_the_same(mesh: Mesh, gate: Gated) -> None:
    """The reply that nobody waited for is kept like any other."""
    await sent(mesh, gate)
    gate.open.set()
    await mesh.idle()
    heard = await mesh.dispatch(KEYED)
    assert (heard.trailer(REPLAYED), heard.response.result.json, heard.report.complete) == ("true", '{"w":"done"}', True)


async def test_also_of_a_failure() -> None:
    """Something may have been written: ABORTED, as if the caller had waited."""
    go = asyncio.Event()
    called = asyncio.Semaphore(0)

    @worker("w")
    async def fails() -> Any:
        called.release()
        await go.wait()
        raise Fault.of(Code.INTERNAL, "half done")

    async with running({"w": Told(fails, WRITE)}, {"p": plan("w", budget="60s")}) as mesh:
        call = asyncio.create_task(mesh.dispatch(KEYED))
        await called.acquire()
        await hung_up(mesh, call)
        go.set()
        await mesh.idle()
        heard = await mesh.dispatch(KEYED)
    assert (heard.code, heard.trailer(REPLAYED)) == (Code.ABORTED, "true")
    assert called.locked()


async def test_before_the_write_is_sent_nothing_goes_on(gate: Gated) -> None:
    """The read before it is cancelled, the write is never sent, and the key is free."""
    hanging = Hanging()
    workers = {"r": hanging.worker, "w": Told(gate.worker, WRITE)}
    plans = {"p": plan("r", "w", budget="60s", w={"input": {"x": "${branches.r.output}"}})}
    async with running(workers, plans) as mesh:
        call = asyncio.create_task(mesh.dispatch(KEYED))
        await hanging.called.wait()
        await hung_up(mesh, call)
        await hanging.cancelled.wait()
        assert (mesh.dispatcher.replays.running, mesh.dispatcher.replays.kept) == (0, 0)


async def test_without_a_key_only_the_write_goes_on(gate: Gated) -> None:
    """Nobody can ask for it again, so the rest is cancelled at once."""
    hanging = Hanging()
    workers = {"r": hanging.worker, "w": Told(gate.worker, WRITE)}
    async with running(workers, {"p": plan("r", "w", budget="60s")}) as mesh:
        call = asyncio.create_task(mesh.dispatch(ask()))
        await gate.all_called(1)
        await hanging.called.wait()
        await hung_up(mesh, call)
        await hanging.cancelled.wait()
        assert mesh.dispatcher.reaper.writing == 1
        gate.open.set()
        await mesh.idle()


async def test_a_run_that_goes_on_has_all_its_branches(gate: Gated) -> None:
    """What is told later is the whole result, as if nobody had hung up."""
    workers = {"r": says("read"), "w": Told(gate.worker, WRITE)}
    async with running(workers, {"p": plan("r", "w", budget="60s")}) as mesh:
        await sent(mesh, gate)
        gate.open.set()
        await mesh.idle()
        heard = await mesh.dispatch(KEYED)
    assert heard.response.result.json == '{"r":"read","w":"done"}'


async def test_a_dispatcher_that_stops_sees_it_to_its_end(mesh: Mesh, gate: Gated) -> None:
    """Within `server.drain`, as any write that was sent."""
    await sent(mesh, gate)
    stopping = asyncio.create_task(mesh.dispatcher.stop())
    async with asyncio.timeout(PATIENCE):
        while isinstance(await mesh.explain(ask()), dispatcher_pb2.ExplainResponse):
            pass
    await asyncio.wait((stopping,), timeout=0.3)  # time enough for a stop that waits for nothing
    assert not stopping.done()
    gate.open.set()
    await stopping
    assert (mesh.dispatcher.replays.running, mesh.dispatcher.replays.kept) == (0, 1)
