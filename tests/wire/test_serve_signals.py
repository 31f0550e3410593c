"""`fanmesh serve` told to stop: while it waits for workers, while it answers, and twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.workers import serve
from tests.kit.calls import PATIENCE, Caller, ask
from tests.kit.programs import Program, program, python
from tests.kit.roles import Hanging

pytestmark = pytest.mark.asyncio

CONFIG = """
version: 1
default_policy: none
workers: {{w: {{target: "127.0.0.1:{port}", effect: read}}}}
plans: {{p: {{budget: {{latency: 60s}}, branches: {{w: {{}}}}}}}}
server: {{listen: "127.0.0.1:0", metrics: null, drain: {drain}}}
"""


def file(directory: Path, port: int, drain: str = "20s") -> Path:
    """A configuration with one worker at this port."""
    path = directory / "fanmesh.yaml"
    path.write_text(CONFIG.format(port=port, drain=drain))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_start_that_waits_for_workers_can_be_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """It ends well, and does not first serve what nobody wants any more."""
    command = python("-m", "fanmesh.cli", "serve", file(tmp_path, 1))
    async with program(*command) as process:
        await process.says("waiting for workers")
        process.signal(number)
        assert await process.ended() == 0
        assert "dispatcher on" not in "".join(process.heard)


@asynccontextmanager
async def answering(directory: Path, drain: str) -> AsyncIterator[Program]:
    """`fanmesh serve` with a request that its worker never answers; the caller waits until it is told something."""
    hanging = Hanging()
    worker = await serve(hanging.worker)
    async with program(*python("-m", "fanmesh.cli", "serve", file(directory, worker.port, drain))) as process:
        channel = GrpcTransport().connect((await process.says(r"dispatcher on (127\.0\.0\.1:\d+)"))[1])
        call = asyncio.create_task(Caller(channel).dispatch(ask()))
        await asyncio.wait_for(hanging.called.wait(), PATIENCE)
        yield process
        await call
        await channel.close()
    await worker.stop()


async def test_what_is_cut_off_is_said_so(tmp_path: Path) -> None:
    """A request that the end of the drain has cut is not put down to its caller alone; stopping and stopped are in the log."""
    async with answering(tmp_path, "200ms") as process:
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        said = "".join(process.heard)
        assert "cut off at the end of the drain" in said
        assert said.index('"stopping"') < said.index("cut off") < said.index('"stopped"')


async def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    """Ctrl-C twice: whoever is still being answered is left."""
    async with answering(tmp_path, "600s") as process:
        process.signal(signal.SIGINT)
        await process.says('"stopping"')
        process.signal(signal.SIGINT)
        assert await process.ended() == 130
        assert "stopped without waiting" in "".join(process.heard)
