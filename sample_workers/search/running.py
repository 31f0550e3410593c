"""The scenario as processes of this machine, on whatever ports are free: for the evaluation, the tests and the demo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from fanmesh.client import AsyncClient
from sample_workers.demo.processes import Process

PACKAGE: Final = "sample_workers.search"
ENGINES: Final = ("fts5", "bm25s", "tantivy")
SHARDS: Final = ("shard_1", "shard_2", "shard_3")


class Running(NamedTuple):
    """A connection to the dispatcher, and the processes by worker."""

    client: AsyncClient
    processes: Mapping[str, Process]


def line(worker: str, behaviour: str = "", seed: int = 0) -> list[str]:
    """The command line that serves it; `behaviour`: how it misbehaves, such as `delay=20ms`."""
    served = ["worker", f"{PACKAGE}.{worker}:{worker}", "--listen", "127.0.0.1:0"]
    return [*served, "--behaviour", f"{worker}:{behaviour}", "--seed", str(seed)] if behaviour else served


def document() -> Any:
    """The scenario's configuration as it stands in its file."""
    return YAML().load((files(PACKAGE) / "fanmesh.yaml").read_text("utf-8"))


def configuration(addresses: Mapping[str, str], latency: str | None = None) -> str:
    """The same for these workers at these addresses, without plans of others. `latency`: instead of every time limit."""
    yaml, told = YAML(), document()
    told["workers"] = {name: {"target": address, "effect": "read"} for name, address in addresses.items()}
    told["plans"] = {name: plan for name, plan in told["plans"].items() if addresses.keys() >= plan["branches"].keys()}
    told["routes"] = [route for route in told["routes"] if route["plan"] in told["plans"]]
    for plan in told["plans"].values() if latency else ():
        plan["budget"]["latency"] = latency
        for branch in plan["branches"].values():
            branch.pop("soft_timeout", None)
    told["server"] = {"listen": "127.0.0.1:0", "metrics": None}
    del told["dev"]
    text = StringIO()
    yaml.dump(told, text)
    return text.getvalue()


@asynccontextmanager
async def running(
    directory: Path, workers: Sequence[str], latency: str | None = None, behaviours: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Running]:
    """Start a process for each worker, all at once, and a dispatcher for the plans that these make possible.

    Configuration and logs go to `directory`. NotStarted if one does not serve; at the end none is left.
    """
    variables = {"OTEL_SDK_DISABLED": "true", "FANMESH_LOG_FORMAT": "json", "no_grpc_proxy": "127.0.0.1"}
    processes = {name: Process(name, line(name, behaviours.get(name, "")), directory, variables) for name in workers}
    async with AsyncExitStack() as stack:
        for process in processes.values():
            stack.push_async_callback(process.stop)
        try:
            async with asyncio.TaskGroup() as group:
                for process in processes.values():
                    group.create_task(process.start())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        file = directory / "fanmesh.yaml"
        file.write_text(configuration({name: process.address for name, process in processes.items()}, latency), "utf-8")
        dispatcher = Process("dispatcher", ["serve", str(file), "--listen", "127.0.0.1:0", "--no-watch"], directory, variables)
        stack.push_async_callback(dispatcher.stop)
        await dispatcher.start()
        yield Running(await stack.enter_async_context(AsyncClient(dispatcher.address)), processes)
