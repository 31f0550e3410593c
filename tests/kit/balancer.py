"""A balancer as Kubernetes has one: connections go to endpoints that are serving, in turn, and stay where they are.

It knows nothing of HTTP/2, as kube-proxy does not: a connection that was made is never moved or cut, whatever becomes of its
endpoint. Endpoints leave the list when their health says NOT_SERVING, which is about when a cluster would take them out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from grpc_health.v1 import health_pb2

from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import RpcError
from tests.kit.programs import PATIENCE

WATCH = "/grpc.health.v1.Health/Watch"
SERVING = health_pb2.HealthCheckResponse.SERVING


class Balancer:
    """`async with Balancer("fanmesh.v1.DispatcherService") as balancer:`, then `add` ports; it listens on `port`."""

    def __init__(self, service: str) -> None:
        self._request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        self._serving: dict[int, asyncio.Event] = {}
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._pipes: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def add(self, port: int) -> None:
        """Send connections to this port as long as it is serving; returns when it is."""
        self._serving[port] = asyncio.Event()
        self._watches[port] = asyncio.create_task(self._watch(port))
        await asyncio.wait_for(self._serving[port].wait(), PATIENCE)

    async def _watch(self, port: int) -> None:
        channel = GrpcTransport().connect(f"127.0.0.1:{port}")
        try:
            async for raw in channel.stream(WATCH, self._request):
                if health_pb2.HealthCheckResponse.FromString(raw).status == SERVING:
                    self._serving[port].set()
                else:
                    self._serving[port].clear()
        except RpcError:
            self._serving[port].clear()
        finally:
            await channel.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports = [port for port, serving in self._serving.items() if serving.is_set()]
        self._turn += 1
        try:
            upstream = await asyncio.open_connection("127.0.0.1", ports[self._turn % len(ports)])
        except (OSError, ZeroDivisionError):
            writer.close()
            return
        for source, sink in ((reader, upstream[1]), (upstream[0], writer)):
            self._pipes.add(task := asyncio.create_task(_pipe(source, sink)))
            task.add_done_callback(self._pipes.discard)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [*self._watches.values(), *self._pipes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """What comes from one side goes to the other, its end included."""
    try:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()
