"""A rolling restart of the dispatchers, on real processes under load: no caller hears of it.

Two kinds of callers, as a cluster has them: a gRPC client that balances by itself and asks for health, and one that knows a
single address with a balancer of connections behind it. The first leaves when health says NOT_SERVING, the second when its
connection grows old; both have gone before the dispatcher takes nothing more.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import serve
from tests.kit.balancer import Balancer
from tests.kit.programs import PATIENCE, Program, program, python
from tests.kit.roles import says
from tests.kit.scraping import scrape

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

SERVICE = "fanmesh.v1.DispatcherService"
CALLERS = 8
COUNT = "fanmesh_dispatch_duration_seconds_count"

CONFIG = """
version: 1
workers: {{says: {{target: "127.0.0.1:{worker}", effect: read}}}}
plans: {{p: {{budget: {{latency: 30s}}, branches: {{says: {{}}}}}}}}
server: {{listen: "127.0.0.1:{port}", metrics: "127.0.0.1:0", announce: 3s, connection_age: 1s, drain: 20s}}
"""


@dataclass(frozen=True, slots=True)
class Pod:
    """A dispatcher process."""

    process: Program
    port: int
    metrics: int

    async def answered(self) -> int:
        """How many requests it has answered."""
        return int(sum((await scrape(self.metrics)).series(COUNT).values()))


class Load:
    """Callers that never pause, until `stop`."""

    def __init__(self, target: str, options: list[tuple[str, Any]]) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self._call = self._channel.unary_unary(f"/{SERVICE}/Dispatch")
        self._request = dispatcher_pb2.DispatchRequest(plan="p").SerializeToString()
        self._over = False
        self._callers = [asyncio.create_task(self._run()) for _ in range(CALLERS)]
        self.answers = 0
        self.failed: Counter[str] = Counter()

    async def _run(self) -> None:
        while not self._over:
            try:
                await self._call(self._request, timeout=PATIENCE)
                self.answers += 1
            except grpc.aio.AioRpcError as error:
                self.failed[f"{error.code().name}: {error.details()}"] += 1

    async def stop(self) -> None:
        """End them after their last answers."""
        self._over = True
        await asyncio.gather(*self._callers)
        await self._channel.close()


@asynccontextmanager
async def pods(directory: Path) -> AsyncIterator[Callable[[int], Awaitable[Pod]]]:
    """A function that starts a dispatcher on a port (0 = a free one); all of them have one worker."""
    async with AsyncExitStack() as stack:
        worker = await serve(says("here"))
        stack.push_async_callback(worker.stop)

        async def start(port: int = 0) -> Pod:
            file = directory / f"{port}.yaml"
            file.write_text(CONFIG.format(worker=worker.port, port=port))
            process = await stack.enter_async_context(program(*python("-m", "dispatcher", file)))
            said = json.loads((await process.says('"event": ?"serving"')).string)
            return Pod(process, said["port"], said["metrics"])

        yield start


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when `condition` holds; TimeoutError if it does not."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            pass


async def answers(pod: Pod) -> None:
    """Return when this process has answered another request."""
    before = await pod.answered()

    async def more() -> bool:
        return await pod.answered() > before

    await until(more)


async def gone(pod: Pod) -> None:
    """SIGTERM, and a good end."""
    pod.process.signal(signal.SIGTERM)
    assert await pod.process.ended(3 * PATIENCE) == 0


async def test_a_caller_that_asks_for_health_loses_nothing(tmp_path: Path) -> None:
    """round_robin with health checks over two dispatchers, each restarted in turn: every request is answered."""
    config = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": SERVICE}}
    async with pods(tmp_path) as start:
        first, second = await start(0), await start(0)
        target = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        load = Load(target, [("grpc.service_config", json.dumps(config)), ("grpc.initial_reconnect_backoff_ms", 100)])
        for old in (first, second):
            await answers(old)
            await gone(old)
            await answers(await start(old.port))
        await load.stop()
        assert load.failed == {}
        assert load.answers > 0


async def test_a_caller_behind_a_balancer_of_connections_loses_nothing(tmp_path: Path) -> None:
    """One address, new connections to who is serving: connections grow old and move before their dispatcher goes."""
    async with pods(tmp_path) as start, Balancer(SERVICE) as balancer:
        olds = [await start(0), await start(0)]
        for pod in olds:
            await balancer.add(pod.port)
        load = Load(f"127.0.0.1:{balancer.port}", [("grpc.enable_retries", 0)])
        for old in olds:
            await answers(old)
            new = await start(0)
            await balancer.add(new.port)  # as with maxUnavailable: 0
            await gone(old)
            await answers(new)
        await load.stop()
        assert load.failed == {}
        assert load.answers > 0
