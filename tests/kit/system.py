"""Fanmesh as it is deployed: workers, aggregator and dispatcher, each a process of its own, started by their own commands.

`async with System(tmp_path, environment) as system:`, then `await system.workers(…)`, `await system.dispatcher(…)`.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from fanmesh.transport.grpc_aio import GrpcTransport
from tests.kit.calls import Caller
from tests.kit.programs import Program, program, python

T = TypeVar("T")

ANY_PORT: Final = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Serving:
    """A dispatcher that serves: its process, a connection to it, and the port of /metrics (0 = none)."""

    process: Program
    caller: Caller
    metrics_port: int


class System:
    """Processes that see `environment` beside the test's own. None outlives the `async with`."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environment = {"FANMESH_LOG_FORMAT": "json", **(environment or {})}
        self._stack = AsyncExitStack()
        self._programs: list[Program] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def start(self, *module: str, **variables: str) -> Program:
        """`python -m …`; `variables` of the environment are for it alone."""
        environment = {**self._environment, **variables}
        started = await self._stack.enter_async_context(program(*python("-m", *module), environment=environment))
        self._programs.append(started)
        return started

    async def workers(self, *functions: str, behaviour: Iterable[str] = ()) -> str:
        """`fanmesh worker FUNCTIONS`; where it listens."""
        acts = [word for text in behaviour for word in ("--behaviour", text)]
        process = await self.start("fanmesh.cli", "worker", *functions, *acts, "--listen", ANY_PORT)
        return str((await process.says(r" on (127\.0\.0\.1:\d+)"))[1])

    async def aggregator(self, listen: str = ANY_PORT) -> tuple[Program, str]:
        """`python -m aggregator`, and where it listens."""
        process = await self.start("aggregator", "--listen", listen)
        return process, str(_said(await process.says(SERVING))["listen"])

    async def dispatcher(self, document: Mapping[str, Any], *, patient: bool = False, **variables: str) -> Serving:
        """`python -m dispatcher CONFIG`. `patient`: the aggregator may take its time between acknowledgements."""
        file = self._directory / f"dispatcher{len(self._programs)}.json"  # JSON is YAML
        server = {"listen": ANY_PORT, "metrics": None, "drain": "5s", **document.get("server", {})}
        file.write_text(json.dumps({"version": 1, "default_policy": "none", **document, "server": server}), "utf-8")
        process = await self.start("tests.kit.patient_dispatcher" if patient else "dispatcher", str(file), **variables)
        said = _said(await process.says(SERVING))
        channel = GrpcTransport().connect(f"127.0.0.1:{said['port']}")
        self._stack.push_async_callback(channel.close)
        return Serving(process, Caller(channel), int(said["metrics"]))

    async def stop(self) -> None:
        """End all of them in an orderly way, callers before those they call; AssertionError if one does not end well."""
        for one in reversed(self._programs):
            one.signal(signal.SIGTERM)
            assert await one.ended() == 0, "".join(one.heard)
        self._programs.clear()


SERVING: Final = r'^\{.*"event": ?"serving"'


def _said(line: re.Match[str]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line.string)
    return said


async def all_of(calls: Iterable[Awaitable[T]], at_once: int) -> list[T]:
    """The results of these coroutines, of which so many run at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(call: Awaitable[T]) -> T:
        async with gate:
            return await call

    return list(await asyncio.gather(*map(one, calls)))
