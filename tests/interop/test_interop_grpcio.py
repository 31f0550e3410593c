"""The fast transport and grpcio, both ways: grpc.aio in this process, the blocking API in another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Channel, ChannelOptions, Compression, ServerOptions, Transport
from tests.interop.cases import ASKED, COMPRESSED, EVERY, failing, outcomes, request, unary
from tests.interop.peers import (
    fast_server,
    foreign_server,
    hears_of_a_cancellation,
    reads_what_we_compress,
    shows_its_certificate,
    stays,
    takes_what_we_compress,
    told,
    wants_our_certificate,
)
from tests.interop.service import TestService, pb
from tests.kit.certificates import Authority
from tests.kit.programs import python

pytestmark = pytest.mark.asyncio

BLOCKING = python("-m", "tests.interop.blocking")

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


@pytest.fixture(params=["plain", "encrypted"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    return Authority(tmp_path, "ours") if request.param == "encrypted" else None


async def test_the_blocking_api_calls_us(authority: Authority | None) -> None:
    """Every case by name, from a process of its own."""
    async with fast_server(authority) as (_, address):
        cases = await told(*BLOCKING, "client", address, *([authority.file] if authority else []))
        assert cases == dict.fromkeys(ASKED, "ok")


async def test_a_quiet_call_is_not_pinged_to_death() -> None:
    """Keepalive of ours within what its server allows."""
    async with foreign_server(*BLOCKING, "server") as (_, channel):
        await stays(channel)


async def test_we_call_the_blocking_api(authority: Authority | None) -> None:
    """Every case by name, and what we cancel ends there."""
    files = authority.files() if authority else ()
    async with foreign_server(*BLOCKING, "server", *files, authority=authority) as (server, channel):
        await hears_of_a_cancellation(server, channel)
        assert await outcomes(channel, COMPRESSED) == dict.fromkeys(COMPRESSED, "ok")


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


async def test_compression_both_ways() -> None:
    """It reads the answers that we compress, and takes the requests; not many bytes travel."""
    await reads_what_we_compress(*BLOCKING, "client", cases=ASKED)
    await takes_what_we_compress(*BLOCKING, "server")


@pytest.mark.parametrize("way", WAYS)
async def test_every_case_with_grpc_aio_compressed(way: str) -> None:
    """Both sides compress what they send."""
    client, server = WAYS[way]
    async with served(client, server, Compression.GZIP) as channel:
        assert await outcomes(channel, EVERY) == dict.fromkeys(EVERY, "ok")


async def test_certificates_of_callers_both_ways(tmp_path: Path) -> None:
    """Who has one is served, and who has none is told so."""
    authority = Authority(tmp_path, "ours")
    await shows_its_certificate(authority, *BLOCKING, "client", cases=ASKED)
    await wants_our_certificate(authority, *BLOCKING, "server")
