"""Workers behind a real socket, and calls of them in bytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from fanmesh.payload import from_value
from fanmesh.transport.grpc_aio import GrpcChannel, GrpcTransport
from fanmesh.transport.port import Metadata, RpcError
from fanmesh.v1 import worker_pb2
from fanmesh.workers import Context, Replace, Worker, serve, worker

PROCESS = "/fanmesh.v1.WorkerService/Process"
PROCESS_STREAM = "/fanmesh.v1.WorkerService/ProcessStream"


@dataclass
class Query:
    """What `geo` takes."""

    ip: str
    depth: int = 1


@dataclass
class Answer:
    """What `geo` answers."""

    country: str


@worker("geo")
async def geo(q: Query, ctx: Context) -> Answer:
    """One that answers once."""
    ctx.report(confidence=0.5, cost_usd="0.0002", input_tokens=3, output_tokens=4, labels={"model": "m1"})
    return Answer(q.ip.upper())


@worker("tell")
async def tell(_: Any, ctx: Context) -> dict[str, Any]:
    """Says what it knows of its call."""
    remaining = ctx.remaining()
    return {
        "request": [ctx.request_id, ctx.plan, ctx.branch, ctx.item_key, ctx.attempt, ctx.shadow, ctx.idempotency_key],
        "allowance": ctx.allowance and ctx.allowance.input_tokens,
        "attributes": dict(ctx.attributes),
        "traceparent": ctx.metadata.get("traceparent"),
        "in time": remaining is not None and 0 < remaining < 5.1,
    }


@worker("words")
async def words(q: dict[str, Any], ctx: Context) -> AsyncIterator[Any]:
    """Answers in parts."""
    for part in q["parts"]:
        yield Replace(part["replace"]) if isinstance(part, dict) and "replace" in part else part
    ctx.report(output_tokens=9)


@asynccontextmanager
async def served(*workers: Worker[Any], **options: Any) -> AsyncIterator[GrpcChannel]:
    server = await serve(*workers, **options)
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop()


async def process(channel: GrpcChannel, value: Any = None, metadata: Metadata = (), **more: Any) -> worker_pb2.ProcessResponse:
    request = worker_pb2.ProcessRequest(input=from_value(value), **more)
    reply = await channel.unary(PROCESS, request.SerializeToString(), timeout=5, metadata=metadata)
    return worker_pb2.ProcessResponse.FromString(reply.payload)


async def stream(channel: GrpcChannel, value: Any = None) -> list[worker_pb2.ProcessStreamResponse]:
    request = worker_pb2.ProcessStreamRequest(input=from_value(value))
    parts = channel.stream(PROCESS_STREAM, request.SerializeToString(), timeout=5)
    try:
        return [worker_pb2.ProcessStreamResponse.FromString(raw) async for raw in parts]
    finally:
        await parts.aclose()


async def refused(channel: GrpcChannel, value: Any = None, metadata: Metadata = ()) -> RpcError:
    with pytest.raises(RpcError) as e:
        await process(channel, value, metadata)
    return e.value
