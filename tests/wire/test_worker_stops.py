"""A worker that ends in good order costs nobody an answer, as long as another replica is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.runtime.clock import sleep
from fanmesh.transport.port import Server
from fanmesh.workers import serve, worker
from tests.kit.calls import ask
from tests.kit.mesh import At, Told, plan, running

pytestmark = pytest.mark.asyncio

CALLERS = 24
RESTARTS = 4


@worker("w")
async def works(data: Any) -> Any:
    """Takes a moment, so that calls are always on their way."""
    await sleep(2_000_000)
    return data


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["standard", "hedged"])
@pytest.mark.parametrize("transport", ["grpcio", "fast"])
async def test_a_rolling_restart_loses_no_request(policy: str, transport: str) -> None:
    """A server of grpcio answers what reaches it at its end with CANCELLED: those calls are made again at the other replica.

    One of the fast transport answers it, or was never asked.
    """
    seen: Counter[Code] = Counter()
    codes: Counter[int] = Counter()
    answers: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        servers: list[Server] = [await serve(works, transport=transport), await serve(works, transport=transport)]
        for server in servers:
            stack.push_async_callback(server.stop)
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        keys = {"endpoints": addresses, "policy": policy, "effect": "read", "transport": transport}
        async with running({"w": Told(At(addresses[0]), keys)}, {"p": plan("w", w={"required": True})}) as mesh:
            over = asyncio.Event()

            async def caller() -> None:
                while not over.is_set():
                    heard = await mesh.dispatch(ask(failure_in_message=True))
                    seen[heard.outcome().code if heard.response.HasField("outcome") else Code.OK] += 1
                    attempts = [attempt for row in heard.report.branches for attempt in row.attempts]
                    codes.update(attempt.code for attempt in attempts)
                    answers.update(attempt.endpoint for attempt in attempts if attempt.won)

            callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
            for turn in range(4 * RESTARTS):
                answered, gone = seen.total(), servers[turn % 2]
                while seen.total() < answered + 4 * CALLERS:
                    await sleep(1_000_000)
                await gone.stop(5.0)
                servers[turn % 2] = await serve(works, listen=f"127.0.0.1:{gone.port}", transport=transport)
                stack.push_async_callback(servers[turn % 2].stop)
                before = answers[addresses[turn % 2]]
                while answers[addresses[turn % 2]] < before + CALLERS:  # as a rollout waits for a pod that is there again
                    await sleep(1_000_000)
                if turn >= RESTARTS and (codes[Code.CANCELLED] or transport == "fast"):
                    break
            over.set()
            await asyncio.gather(*callers)
    assert set(seen) == {Code.OK}, seen
    if transport == "fast":
        assert policy == "hedged" or not codes[Code.CANCELLED]  # a hedge that has lost is cancelled, too
    else:
        assert codes[Code.CANCELLED] > 0, "no call met the server as it left: the test has shown nothing"
