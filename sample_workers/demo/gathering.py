"""The same fan-out by hand: `asyncio.gather` over calls with the workers' stubs, as most services have it today.

The same workers, the same transport, the same input and the same time limit, so that what differs is Fanmesh.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fanmesh.model.fault import Code
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel, RpcError
from fanmesh.v1.payload_pb2 import Payload
from fanmesh.v1.worker_pb2 import ProcessRequest, ProcessResponse

PROCESS = "/fanmesh.v1.WorkerService/Process"


class Gathered(NamedTuple):
    """What came of it: `answers` by branch, or None and the `code` that gather raised. `took` in ns. `lost`: see `gather`."""

    answers: Mapping[str, Any] | None
    code: Code
    took: int
    lost: tuple[str, ...]


async def gather(workers: Mapping[str, tuple[str, str]], data: object, timeout: float) -> Gathered:  # noqa: ASYNC109  (gRPC's)
    """Ask all of `workers` (branch → name, address), each with `timeout` seconds. `lost` had answered when gather raised."""
    transport = GrpcTransport()
    channels = {address: transport.connect(address) for _, address in workers.values()}
    answered: dict[str, Any] = {}

    async def ask(branch: str, name: str, address: str) -> Any:
        answered[branch] = await process(channels[address], name, data, timeout)
        return answered[branch]

    calls = [asyncio.ensure_future(ask(branch, *where)) for branch, where in workers.items()]
    began = now_ns()
    try:
        answers = await asyncio.gather(*calls)
        return Gathered(dict(zip(workers, answers, strict=True)), Code.OK, now_ns() - began, ())
    except RpcError as error:
        return Gathered(None, error.code, now_ns() - began, tuple(answered))
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in channels.values()))


async def process(channel: Channel, worker: str, data: object, timeout: float) -> Any:  # noqa: ASYNC109  (gRPC's deadline)
    """One worker's answer. RpcError if there is none within `timeout` seconds."""
    request = ProcessRequest(input=Payload(json=json.dumps(data)))
    headers = (("fanmesh-worker", worker),)
    reply = await channel.unary(PROCESS, request.SerializeToString(), timeout=timeout, metadata=headers)
    return json.loads(ProcessResponse.FromString(reply.payload).output.json)


async def warm(workers: Iterable[tuple[str, str]], data: object, within: float) -> None:
    """Ask each of `workers` (name, address) once: what is read on first use has been read when this returns."""
    transport = GrpcTransport()

    async def one(name: str, address: str) -> None:
        channel = transport.connect(address)
        try:
            await process(channel, name, data, within)
        finally:
            await channel.close()

    await asyncio.gather(*(one(name, address) for name, address in workers))
