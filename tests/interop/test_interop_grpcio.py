"""The fast transport and grpcio, both ways: grpc.aio in this process. The blocking API is in test_interop_programs.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel, ChannelOptions, Compression, ServerOptions, Transport
from tests.interop.cases import EVERY, failing, outcomes, request, unary
from tests.interop.service import TestService, pb

pytestmark = pytest.mark.asyncio

WAYS: dict[str, tuple[Transport, Transport]] = {
    "fast-to-fast": (FastTransport(), FastTransport()),
    "fast-to-aio": (FastTransport(), GrpcTransport()),
    "aio-to-fast": (GrpcTransport(), FastTransport()),
}


@asynccontextmanager
async def served(client: Transport, server: Transport, compression: Compression = Compression.NONE) -> AsyncIterator[Channel]:
    """A channel to the test service. `compression` is that of both."""
    serving = server.server("127.0.0.1:0", TestService().routes(), options=ServerOptions(compression=compression))
    await serving.start()
    channel = client.connect(f"127.0.0.1:{serving.port}", ChannelOptions(compression=compression))
    try:
        yield channel
    finally:
        await channel.close()
        await serving.stop()


@pytest.mark.parametrize("way", WAYS)
async def test_every_case_with_grpc_aio(way: str) -> None:
    """By name, and nothing is left running."""
    client, server = WAYS[way]
    async with served(client, server) as channel:
        assert await outcomes(channel, EVERY) == dict.fromkeys(EVERY, "ok")


@pytest.mark.parametrize("way", WAYS)
async def test_spaces_at_the_ends_of_a_message(way: str) -> None:
    """HTTP/2 forbids them, grpcio sends them, and libnghttp2 refuses them: our server encodes them, for everybody's sake."""
    client, server = WAYS[way]
    async with served(client, server) as channel:
        error = await failing(unary(channel, "UnaryCall", request(response_status=pb.EchoStatus(code=9, message=" a  "))))
    expected = (
        (Code.INTERNAL, "the peer sent what HTTP/2 forbids: PROTOCOL_ERROR")
        if way == "fast-to-aio"
        else (Code.FAILED_PRECONDITION, " a  ")
    )
    assert (error.code, error.message) == expected


@pytest.mark.parametrize("way", WAYS)
async def test_every_case_with_grpc_aio_compressed(way: str) -> None:
    """Both sides compress what they send."""
    client, server = WAYS[way]
    async with served(client, server, Compression.GZIP) as channel:
        assert await outcomes(channel, EVERY) == dict.fromkeys(EVERY, "ok")
