"""A reload swaps configuration and addresses in one step, and lets go of what nobody calls any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import Config, load_mapping
from dispatcher.settings import Settings
from fanmesh.client import AsyncClient
from fanmesh.workers import serve, worker

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
