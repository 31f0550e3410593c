"""Servers over real sockets: health, reflection, drain."""

import asyncio

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from fanmesh.model.fault import Code
from fanmesh.transport.port import Channel, Routes, RpcError, ServerCall, Transport
from fanmesh.v1 import worker_pb2
from tests.kit.peers import Pair

SERVICE = worker_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name
PROCESS = f"/{SERVICE}/Process"


async def echo(request: bytes, _: ServerCall) -> bytes:
    return request


async def health(channel: Channel, service: str) -> int:
    reply = await channel.unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest(service=service).SerializeToString(), timeout=5
    )
    return HealthCheckResponse.FromString(reply.payload).status


@pytest.mark.asyncio
async def test_every_server_answers_health_for_itself_its_services_and_its_names(pair: Pair) -> None:
    """SERVING once started; one name can be taken out; an unknown one is NOT_FOUND."""
    server = pair.server.server("127.0.0.1:0", Routes(unary={PROCESS: echo}), names=["geo"])
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    for name in ("", SERVICE, "geo"):
        assert await health(channel, name) == HealthCheckResponse.SERVING
    await server.set_serving("geo", False)
    assert await health(channel, "geo") == HealthCheckResponse.NOT_SERVING
    with pytest.raises(RpcError) as e:
        await health(channel, "other")
    assert e.value.code is Code.NOT_FOUND
    await channel.close()
    await server.stop()


@pytest.mark.asyncio
async def test_every_server_answers_reflection(pair: Pair) -> None:
    """Tools find the services and their descriptors."""
    server = pair.server.server("127.0.0.1:0", Routes(unary={PROCESS: echo}))
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    call = channel.duplex("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", timeout=5)

    async def ask(request: ServerReflectionRequest) -> ServerReflectionResponse:
        await call.write(request.SerializeToString())
        answer = await call.read()
        assert answer is not None
        return ServerReflectionResponse.FromString(answer)

    listed = await ask(ServerReflectionRequest(list_services=""))
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    found = await ask(ServerReflectionRequest(file_containing_symbol=SERVICE))
    assert found.file_descriptor_response.file_descriptor_proto
    await call.half_close()
    assert await call.read() is None
    await call.aclose()
    await channel.close()
    await server.stop()


@pytest.mark.asyncio
async def test_stopping_says_so_and_lets_running_calls_end(pair: Pair) -> None:
    """NOT_SERVING reaches watchers first, the running call is answered, and watchers do not hold up the stop."""
    gate, entered = asyncio.Event(), asyncio.Event()

    async def wait(_: bytes, __: ServerCall) -> bytes:
        entered.set()
        await gate.wait()
        return b"done"

    server = pair.server.server("127.0.0.1:0", Routes(unary={"/t.T/wait": wait}))
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    watch = channel.stream("/grpc.health.v1.Health/Watch", HealthCheckRequest().SerializeToString())
    assert HealthCheckResponse.FromString(await anext(watch)).status == HealthCheckResponse.SERVING
    running = asyncio.ensure_future(channel.unary("/t.T/wait", b""))
    await entered.wait()
    stopping = asyncio.ensure_future(server.stop(grace=60))
    assert HealthCheckResponse.FromString(await anext(watch)).status == HealthCheckResponse.NOT_SERVING
    gate.set()
    assert (await running).payload == b"done"
    await asyncio.wait_for(stopping, 10)
    await watch.aclose()
    await channel.close()


@pytest.mark.asyncio
async def test_a_call_that_outlives_the_grace_is_cancelled(pair: Pair) -> None:
    """The grace is a promise in both directions."""
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: bytes, __: ServerCall) -> bytes:
        entered.set()
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    server = pair.server.server("127.0.0.1:0", Routes(unary={"/t.T/hang": hang}))
    await server.start()
    channel = pair.client.connect(f"127.0.0.1:{server.port}")
    running = asyncio.ensure_future(channel.unary("/t.T/hang", b"", timeout=30))
    await entered.wait()
    await server.stop(grace=0.05)
    with pytest.raises(RpcError):
        await running
    await asyncio.wait_for(cancelled.wait(), 5)
    await channel.close()


@pytest.mark.asyncio
async def test_a_taken_address_is_an_oserror(transport: Transport) -> None:
    """It names the address."""
    server = transport.server("127.0.0.1:0", Routes())
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port}"):
        transport.server(f"127.0.0.1:{server.port}", Routes())
    await server.start()
    await server.stop()
