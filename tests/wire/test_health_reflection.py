"""Health and reflection on every server of ours: dispatcher, worker, aggregator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from fanmesh.model.fault import Code
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel, RpcError
from fanmesh.workers import serve
from tests.kit.calls import PATIENCE
from tests.kit.mesh import plan, running
from tests.kit.programs import program, python
from tests.kit.roles import echo

pytestmark = pytest.mark.asyncio

CHECK = "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SERVICES = {
    "dispatcher": "fanmesh.v1.DispatcherService",
    "worker": "fanmesh.v1.WorkerService",
    "aggregator": "fanmesh.v1.AggregatorService",
}


@asynccontextmanager
async def connected(server: str) -> AsyncIterator[Channel]:
    """A connection to a server of this kind."""
    match server:
        case "dispatcher":
            async with running({"w": echo}, {"p": plan("w")}) as mesh:
                yield mesh.channel
        case "worker":
            started = await serve(echo)
            async with to(started.port) as channel:
                yield channel
            await started.stop()
        case _:
            async with program(*python("-m", "aggregator", "--listen", "127.0.0.1:0")) as process:
                port = (await process.says(r'"port": ?(\d+)'))[1]
                async with to(int(port)) as channel:
                    yield channel


@asynccontextmanager
async def to(port: int) -> AsyncIterator[Channel]:
    """A connection to this port."""
    channel = GrpcTransport().connect(f"127.0.0.1:{port}")
    yield channel
    await channel.close()


async def health(channel: Channel, service: str) -> str:
    """What health says of a service."""
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    reply = health_pb2.HealthCheckResponse.FromString((await channel.unary(CHECK, request, timeout=PATIENCE)).payload)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


async def reflected(channel: Channel, **question: str) -> reflection_pb2.ServerReflectionResponse:
    """One question to reflection, and its answer."""
    call = channel.duplex(REFLECT, timeout=PATIENCE)
    try:
        await call.write(reflection_pb2.ServerReflectionRequest(**question).SerializeToString())
        answer = await call.read()
        await call.half_close()
    finally:
        await call.aclose()
    assert answer is not None
    return reflection_pb2.ServerReflectionResponse.FromString(answer)


@pytest.mark.parametrize("server", SERVICES)
async def test_health_and_reflection(server: str) -> None:
    """Health answers for the server and its service and denies others; reflection lists it and gives its descriptors."""
    service = SERVICES[server]
    async with connected(server) as channel:
        assert await health(channel, "") == "SERVING"
        assert await health(channel, service) == "SERVING"
        with pytest.raises(RpcError) as unknown:
            await health(channel, "fanmesh.v1.NoSuchService")
        assert unknown.value.code is Code.NOT_FOUND
        listed = {one.name for one in (await reflected(channel, list_services="")).list_services_response.service}
        assert {service, "grpc.health.v1.Health"} <= listed
        found = (await reflected(channel, file_containing_symbol=service)).file_descriptor_response.file_descriptor_proto
        files = [FileDescriptorProto.FromString(one) for one in found]
        assert service.rpartition(".")[2] in {one.name for file in files for one in file.service}


async def test_a_worker_is_known_to_health_by_its_name() -> None:
    """With several workers on one port, each can be asked for."""
    started = await serve(echo)
    async with to(started.port) as channel:
        assert await health(channel, "echo") == "SERVING"
    await started.stop()


async def test_a_dispatcher_that_drains_says_so() -> None:
    """While the last requests end, health says NOT_SERVING to those who watch, so that balancers send no more."""
    async with running({"w": echo}, {"p": plan("w")}) as mesh:
        watch = mesh.channel.stream(
            "/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest(service="").SerializeToString()
        )
        seen = []
        async with asyncio.timeout(PATIENCE):
            seen.append(health_pb2.HealthCheckResponse.FromString(await anext(watch)).status)
            stopping = asyncio.ensure_future(mesh.dispatcher.stop())
            seen.append(health_pb2.HealthCheckResponse.FromString(await anext(watch)).status)
            await watch.aclose()
            await stopping
        assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
