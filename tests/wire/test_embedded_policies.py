"""What a server does for its workers an engine in a program does, too: new addresses, forgotten ones, no hedge when late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from dispatcher.embedded import Fanmesh
from fanmesh.model.times import SECOND
from fanmesh.result import DispatchFailed
from fanmesh.runtime.clock import now_ns
from fanmesh.workers import Worker, serve, worker
from tests.kit.mesh import yielded

pytestmark = pytest.mark.asyncio

CONFIG = """
version: 1
policies: {{hurried: {{extends: hedged, hedge: {{after: 1ms, max_extra_load: 1}}}}}}
workers: {{geo: {{target: "{target}", effect: read, policy: hurried{more}}}}}
plans: {{p: {{budget: {{latency: 20s}}, merge: first, branches: {{geo: {{}}}}}}}}
"""


def replica(number: int, gate: Callable[[], asyncio.Event] | None = None) -> Worker[Any]:
    """A worker that says which replica it is; it waits at its gate before that."""

    @worker("geo")
    async def geo(_: Any) -> int:
        if gate is not None:
            await gate().wait()
        return number

    return geo


@asynccontextmanager
async def served(*workers: Worker[Any]) -> AsyncIterator[tuple[list[Any], list[str]]]:
    """Servers, and where they are."""
    servers = [await serve(one) for one in workers]
    try:
        yield servers, [f"127.0.0.1:{server.port}" for server in servers]
    finally:
        for server in servers:
            await server.stop()


async def test_a_program_learns_of_new_addresses_and_forgets_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that fails UNAVAILABLE is the sign to look again; the books of the address that is gone are dropped."""
    monkeypatch.setattr("dispatcher.wire.watching.EVERY", 3600 * SECOND)
    monkeypatch.setattr("dispatcher.wire.watching.LEAST", 0)
    mesh = Fanmesh.from_text(CONFIG.format(target="dns:///localhost:1", more=""))
    known: list[str] = []

    async def resolve(_target: str) -> list[str]:
        return known

    async def moved(address: str) -> None:
        deadline = now_ns() + 10 * SECOND
        while [one.address for one in mesh._endpoints.of("geo")] != [address]:
            assert now_ns() < deadline, "it did not come about"
            await yielded()

    async with served(replica(0), replica(1)) as (servers, addresses), mesh:
        known[:] = [addresses[0]]
        mesh._endpoints._lookups._resolve = resolve
        mesh._endpoints.nudge("geo")
        await moved(addresses[0])
        assert (await mesh.dispatch("p", {})).value == 0
        await servers[0].stop()
        known[:] = [addresses[1]]
        with suppress(DispatchFailed):  # its retry may already find the new address
            await mesh.dispatch("p", {})
        await moved(addresses[1])
        assert (await mesh.dispatch("p", {})).value == 1
        assert set(mesh.books.of("geo").endpoints) == {addresses[1]}


async def test_a_program_whose_loop_is_late_makes_no_hedges() -> None:
    """The first attempt goes on alone, and the report says why; nothing else is given up."""
    gate = asyncio.Event()
    async with served(replica(0, lambda: gate), replica(1, lambda: gate)) as (_, addresses):
        more = f", endpoints: [{', '.join(repr(one) for one in addresses)}]"
        mesh = Fanmesh.from_text(CONFIG.format(target="x", more=more).replace('target: "x", ', ""))
        async with mesh:
            mesh._lag.stop()
            mesh._lag.recent = 3600 * SECOND
            running = asyncio.ensure_future(mesh.dispatch("p", {}))
            counts = mesh.books.of("geo").counts
            deadline = now_ns() + 10 * SECOND
            while ("hedge_denied", "overload") not in counts:
                assert now_ns() < deadline, "no hedge was due"
                await yielded()
            gate.set()
            branch = (await running).report["geo"]
            assert len(branch.attempts) == 1
            assert [(one.what, one.why) for one in branch.decisions] == [("hedge_denied", "overload")]
