"""A server that announces that it will leave: it says so first, and takes calls for a while."""

from __future__ import annotations

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Routes, ServerCall, ServerOptions
from fanmesh.workers import serve
from tests.kit.roles import says
from tests.kit.served import process

pytestmark = pytest.mark.asyncio

STATUS = health_pb2.HealthCheckResponse


async def test_what_is_announced_is_not_yet_done() -> None:
    """Health says NOT_SERVING to those who watch, and a new call is answered all the same until the time has passed."""
    server = await serve(says("here"))
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    watch = channel.stream("/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest().SerializeToString())
    assert STATUS.FromString(await anext(watch)).status == STATUS.SERVING

    leaving = asyncio.ensure_future(server.stop(grace=60, announce=3600))
    assert STATUS.FromString(await anext(watch)).status == STATUS.NOT_SERVING
    assert (await process(channel)).output.json == '"here"'
    assert not leaving.done()

    leaving.cancel()
    await watch.aclose()
    await channel.close()
    await server.stop()


async def test_an_old_connection_takes_no_new_calls_and_loses_none() -> None:
    """Calls go on one after the other while connections grow old under them: each is answered, over more than one."""
    peers: set[str] = set()

    async def answer(raw: bytes, call: ServerCall) -> bytes:
        peers.add(call.peer)
        return raw

    routes = Routes(unary={"/test.Service/Answer": answer})
    server = GrpcTransport().server("127.0.0.1:0", routes, options=ServerOptions(connection_age=0.1))
    await server.start()
    channel = GrpcTransport().connect(f"127.0.0.1:{server.port}")
    async with asyncio.timeout(60):
        while len(peers) < 3:
            assert (await channel.unary("/test.Service/Answer", b"x", timeout=30)).payload == b"x"
    await channel.close()
    await server.stop()
