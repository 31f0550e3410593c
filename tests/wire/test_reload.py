"""A reload swaps configuration and addresses in one step, and lets go of what nobody calls any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import Config, load_mapping
from dispatcher.settings import Settings
from fanmesh.client import AsyncClient
from fanmesh.workers import serve, worker
from tests.kit.aggregators import until
from tests.kit.roles import Gated

pytestmark = pytest.mark.asyncio


@worker("one")
async def one(_: Any) -> dict[str, int]:
    """The first."""
    return {"n": 1}


@worker("one")
async def two(_: Any) -> dict[str, int]:
    """The second, under the first one's name."""
    return {"n": 2}


def config(target: str) -> Config:
    return load_mapping(
        {
            "version": 1,
            "workers": {"one": {"target": target, "effect": "read"}},
            "plans": {"p": {"branches": {"one": {}}, "merge": "first", "budget": {"latency": "5s"}}},
            "server": {"listen": "127.0.0.1:0", "metrics": None, "drain": "1s"},
        },
        MERGES,
    )


async def test_a_reload_is_one_step() -> None:
    """Until the new addresses are ready the old ones answer; afterwards the new ones, and the old channel is closed."""
    first, second = await serve(one), await serve(two)
    dispatcher = Dispatcher(config(f"127.0.0.1:{first.port}"), Settings(ready_within=1.0))
    await dispatcher.start()
    try:
        async with AsyncClient(f"127.0.0.1:{dispatcher.port}") as client:
            assert (await client.dispatch("p", {})).value == {"n": 1}
            dead = asyncio.ensure_future(dispatcher.reload(config("127.0.0.1:1")))
            await asyncio.wait({dead}, timeout=0.2)
            assert not dead.done()
            assert (await client.dispatch("p", {})).value == {"n": 1}
            await dead
            await dispatcher.reload(config(f"127.0.0.1:{second.port}"))
            assert (await client.dispatch("p", {})).value == {"n": 2}
            await dispatcher.reload(config("no-such-host.invalid:1"))
            assert (await client.dispatch("p", {})).value == {"n": 2}  # what could not be resolved keeps what it had
            assert len(dispatcher._endpoints._channels) == 1
    finally:
        await dispatcher.stop()
        await first.stop()
        await second.stop()


async def test_what_needs_a_restart_is_named() -> None:
    """A new address of the server is not listened on, and whoever wrote it should hear that."""
    worker = await serve(one)
    dispatcher = Dispatcher(config(f"127.0.0.1:{worker.port}"), Settings(ready_within=1.0))
    await dispatcher.start()
    try:
        same = config(f"127.0.0.1:{worker.port}")
        other = replace(same, server=replace(same.server, listen="127.0.0.1:1", drain=7))
        for given, named in ((same, []), (other, ["server.listen"]), (same, ["server.listen"])):
            assert await dispatcher.reload(given) == named
    finally:
        await dispatcher.stop()
        await worker.stop()


PLACE = {"effect": "read", "limit": {"in_flight": 1, "queue": 8}}


def limited(workers: dict[str, Any]) -> Config:
    """A plan `p` of the first of these workers, one call at a time."""
    return load_mapping(
        {
            "version": 1,
            "workers": workers,
            "plans": {"p": {"branches": {next(iter(workers)): {}}, "merge": "first", "budget": {"latency": "60s"}}},
            "server": {"listen": "127.0.0.1:0", "metrics": None, "drain": "1s"},
        },
        MERGES,
    )


@pytest.mark.parametrize("how", ["removed", "moved"])
async def test_who_waits_in_the_queue_of_a_worker_keeps_its_endpoints(how: str) -> None:
    """Removed or sent elsewhere by a reload, even by two of them: requests that began before end where they began to go.

    New ones go elsewhere at once. When the last of the old ones has ended, the old connection is closed.
    """
    gate = Gated(1)
    old, new = await serve(gate.worker), await serve(two)
    there = {"target": f"127.0.0.1:{new.port}", **PLACE}
    dispatcher = Dispatcher(limited({"one": {"target": f"127.0.0.1:{old.port}", **PLACE}}), Settings(ready_within=1.0))
    await dispatcher.start()
    book = dispatcher.books.of("one")
    try:
        async with AsyncClient(f"127.0.0.1:{dispatcher.port}") as client:
            replies = [asyncio.ensure_future(client.dispatch("p", {})) for _ in range(4)]
            await gate.all_called(1)
            await until(lambda: len(book.queue) == 3, "the others to wait")
            await dispatcher.reload(limited({"other" if how == "removed" else "one": there}))
            await dispatcher.reload(limited({"other": there}))
            assert (await client.dispatch("p", {})).value == {"n": 2}
            assert len(dispatcher._endpoints._channels) == 2
            gate.open.set()
            assert [(await reply).value for reply in replies] == [1] * 4
            await until(lambda: len(dispatcher._endpoints._channels) == 1, "the old connection to be let go")
            assert dispatcher._endpoints._past == []
    finally:
        await dispatcher.stop()
        await old.stop()
        await new.stop()
