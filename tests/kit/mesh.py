"""A real dispatcher with real workers on loopback, in the test's own event loop; nothing may be left of it afterwards.

`async with running({"geo": geo, "dead": NOWHERE}, {"p": plan("geo", "dead")}) as mesh: heard = await mesh.dispatch(ask())`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aggregator.stream import Limits
from aggregator.wire import AggregatorService
from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import load_mapping
from dispatcher.settings import Settings
from fanmesh.runtime.clock import now_ns
from fanmesh.runtime.tracing import OFF
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Routes, Server, StreamHandler, UnaryHandler
from fanmesh.workers import Worker, serve
from tests.kit.calls import Caller

PROCESS: Final = "/fanmesh.v1.WorkerService/Process"
PROCESS_STREAM: Final = "/fanmesh.v1.WorkerService/ProcessStream"


@dataclass(frozen=True, slots=True)
class Raw:
    """A worker that is no worker of ours: handlers in bytes, which may answer what they like."""

    unary: UnaryHandler | None = None
    stream: StreamHandler | None = None

    def routes(self) -> Routes:
        """Its two methods, as far as it has them."""
        return Routes(
            {PROCESS: self.unary} if self.unary is not None else {},
            {PROCESS_STREAM: self.stream} if self.stream is not None else {},
        )


@dataclass(frozen=True, slots=True)
class At:
    """A worker that somebody else runs, or nobody: it is only addressed."""

    address: str
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A worker, and further keys of its configuration."""

    worker: Worker[Any] | Raw | At
    keys: Mapping[str, Any] = field(default_factory=dict)


AnyWorker = Worker[Any] | Raw | At | Told

NOWHERE: Final = At("127.0.0.1:1")
"""A port where nobody listens: tcpmux, which no machine runs and no program is given by chance."""


class Mesh(Caller):
    """A running dispatcher and a connection to it."""

    def __init__(self, dispatcher: Dispatcher, caller: Caller) -> None:
        super().__init__(caller.channel)
        self.dispatcher = dispatcher

    async def idle(self) -> None:
        """Wait until no request runs and no cancelled branch is left; AssertionError if that does not come about."""
        deadline = now_ns() + 5_000_000_000
        while self.dispatcher.measures.in_flight or self.dispatcher.door.in_flight or self.dispatcher.reaper.open:
            assert now_ns() < deadline, (
                f"left running: {self.dispatcher.measures.in_flight} requests, {self.dispatcher.door.in_flight} inside the "
                f"door, {self.dispatcher.reaper.open} branches"
            )
            if self.dispatcher.reaper.open:
                await self.dispatcher.reaper.drain(1.0)
            else:
                await yielded()


async def yielded() -> None:
    """Let the loop take one step, sockets included."""
    loop = asyncio.get_running_loop()
    step = loop.create_future()
    loop.call_later(0.001, step.set_result, None)
    await step


def plan(*branches: str, budget: str = "2s", **keys: Any) -> dict[str, Any]:
    """A plan of branches; `branch={…}` in `keys` gives a branch its own keys, everything else belongs to the plan."""
    own = {branch: keys.pop(branch, {}) for branch in branches}
    return {"budget": {"latency": budget}, "branches": own, **keys}


@asynccontextmanager
async def running(
    workers: Mapping[str, AnyWorker],
    plans: Mapping[str, Any],
    *,
    server: Mapping[str, Any] | None = None,
    ready_within: float = 2.0,
    remote: bool = False,
    **config: Any,
) -> AsyncIterator[Mesh]:
    """Start workers, then a dispatcher for `plans`; at the end nothing may run any more.

    `remote`: an Aggregator service merges. `config`: further top-level keys. Nothing is retried, hedged or broken unless they
    say so: most tests are about one attempt.
    """
    async with AsyncExitStack() as stack:
        described = {name: await _started(worker, stack) for name, worker in workers.items()}
        document = {
            "version": 1,
            "default_policy": "none",
            "workers": described,
            "plans": dict(plans),
            "server": {
                "listen": "127.0.0.1:0",
                "metrics": None,
                "drain": "2s",
                "overload": {"lag": {"hedges": None, "optional": None, "reject": None}},  # a busy machine is not the test's
                "aggregator": await _aggregator(stack) if remote else "embedded",
                **(server or {}),
            },
            **config,
        }
        absent = any(worker == NOWHERE for worker in workers.values())
        settings = Settings(ready_within=0.05 if absent else ready_within)
        dispatcher = Dispatcher(load_mapping(document, MERGES), settings)
        stack.push_async_callback(dispatcher.stop)
        await dispatcher.start()
        channel = GrpcTransport().connect(f"127.0.0.1:{dispatcher.port}")
        stack.push_async_callback(channel.close)
        mesh = Mesh(dispatcher, Caller(channel))
        yield mesh
        await mesh.idle()


async def _started(worker: AnyWorker, stack: AsyncExitStack) -> dict[str, Any]:
    """The configuration of a worker that runs now, if it is one that is ours to run."""
    match worker:
        case Told(inner, keys):
            return {**await _started(inner, stack), **keys}
        case At(address, stream):
            return {"target": address, "effect": "read", "stream": stream}
        case Raw():
            started: Server = GrpcTransport().server("127.0.0.1:0", worker.routes())
            await started.start()
        case _:
            started = await serve(worker)
    stack.push_async_callback(started.stop)
    streams = worker.stream is not None if isinstance(worker, Raw) else worker.streams
    return {"target": f"127.0.0.1:{started.port}", "effect": "read", "stream": streams}


async def _aggregator(stack: AsyncExitStack) -> str:
    """The target of an Aggregator service in this process."""
    server = GrpcTransport().server("127.0.0.1:0", AggregatorService(OFF, Limits()).routes())
    await server.start()
    stack.push_async_callback(server.stop)
    return f"127.0.0.1:{server.port}"
