"""SIGTERM, on a real dispatcher process: it says so, takes nothing new, ends what it has begun, and goes."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from fanmesh.model.fault import Code
from fanmesh.model.states import EmitMode
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel
from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import Worker, serve
from tests.kit.calls import PATIENCE, Caller, Heard, ask
from tests.kit.programs import Program, program, python
from tests.kit.roles import Gated, Hanging, says

pytestmark = pytest.mark.asyncio

CONFIG = """
version: 1
workers:
  slow: {{target: "127.0.0.1:{slow}", effect: read}}
  fast: {{target: "127.0.0.1:{fast}", effect: read}}
plans:
  p: {{budget: {{latency: 60s}}, branches: {{slow: {{required: true}}, fast: {{}}}}}}
server: {{listen: "127.0.0.1:0", metrics: "127.0.0.1:0", drain: {drain}}}
"""

STATUS = health_pb2.HealthCheckResponse


@dataclass(frozen=True, slots=True)
class Served:
    """A dispatcher process and a connection to it."""

    process: Program
    caller: Caller
    port: int

    async def watch(self) -> AsyncIterator[int]:
        """What health says, change by change."""
        request = health_pb2.HealthCheckRequest(service="fanmesh.v1.DispatcherService").SerializeToString()
        stream = self.caller.channel.stream("/grpc.health.v1.Health/Watch", request)
        try:
            async for raw in stream:
                yield STATUS.FromString(raw).status
        finally:
            await stream.aclose()


@asynccontextmanager
async def serving(slow: Worker[object], directory: Path, drain: str) -> AsyncIterator[Served]:
    """`python -m dispatcher` with one worker that is slow and one that is not."""
    async with AsyncExitStack() as stack:
        workers = [await serve(slow), await serve(says("fast"))]
        for worker in workers:
            stack.push_async_callback(worker.stop)
        file = directory / "fanmesh.yaml"
        file.write_text(CONFIG.format(slow=workers[0].port, fast=workers[1].port, drain=drain))
        process = await stack.enter_async_context(program(*python("-m", "dispatcher", file)))
        port = int((await process.says(r'"port": ?(\d+).*"serving"'))[1])
        channel: Channel = GrpcTransport().connect(f"127.0.0.1:{port}")
        stack.push_async_callback(channel.close)
        yield Served(process, Caller(channel), port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_has_begun_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    """Health says NOT_SERVING, callers in flight get their whole answer, new ones are soon refused, the exit code is 0."""
    gate = Gated("slow")
    async with serving(gate.worker, tmp_path, "30s") as served, asyncio.timeout(3 * PATIENCE):
        health = served.watch()
        assert await anext(health) == STATUS.SERVING
        calls = [asyncio.create_task(served.caller.dispatch(ask())) for _ in range(3)]
        calls.append(asyncio.create_task(served.caller.stream(ask(), emit=int(EmitMode.SNAPSHOT))))
        await gate.all_called(4)

        served.process.signal(number)
        assert await anext(health) == STATUS.NOT_SERVING
        while (await new_call(served.port)).code is not Code.UNAVAILABLE:
            pass  # it was on its way before the door closed
        assert not any(call.done() for call in calls)

        gate.open.set()
        for heard in await asyncio.gather(*calls):
            assert heard.code is Code.OK
            assert json.loads(heard.response.result.json) == {"slow": "slow", "fast": "fast"}
            assert heard.report.complete
        assert await served.process.ended() == 0
        await health.aclose()
        said = "".join(served.process.heard)
        assert "Traceback" not in said
        assert "have not ended" not in said


async def test_what_does_not_end_is_cancelled(tmp_path: Path) -> None:
    """After `server.drain` the rest is cancelled: callers get a status, workers hear of it, and the process still ends well."""
    hanging = Hanging()
    async with serving(hanging.worker, tmp_path, "200ms") as served, asyncio.timeout(3 * PATIENCE):
        call = asyncio.create_task(served.caller.dispatch(ask()))
        await hanging.called.wait()
        served.process.signal(signal.SIGTERM)
        assert (await call).code in {Code.UNAVAILABLE, Code.CANCELLED}
        await hanging.cancelled.wait()
        assert await served.process.ended() == 0
        said = "".join(served.process.heard)
        assert "Traceback" not in said
        assert "have not ended" not in said


async def test_nothing_to_drain(tmp_path: Path) -> None:
    """An idle dispatcher does not wait for its drain time."""
    async with serving(says("fast"), tmp_path, "600s") as served:
        request = dispatcher_pb2.DispatchRequest.FromString(ask().SerializeToString())
        assert (await served.caller.dispatch(request)).code is Code.OK
        served.process.signal(signal.SIGTERM)
        assert await served.process.ended() == 0


async def new_call(port: int) -> Heard:
    """A call on a connection of its own, which would not be answered in its time if it were taken."""
    channel = GrpcTransport().connect(f"127.0.0.1:{port}")
    try:
        return await Caller(channel).dispatch(ask(), within=0.2)
    finally:
        await channel.close()
