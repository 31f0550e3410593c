"""The fast transport and grpc-go: its own interop client and server, case by case, and ours for what they leave out."""

from pathlib import Path

import pytest

from tests.interop.cases import COMPRESSED, OFFICIAL, PUBLISHED, outcomes
from tests.interop.peers import (
    BUILT,
    BUSY,
    fast_server,
    foreign_server,
    hears_of_a_cancellation,
    needs,
    reads_what_we_compress,
    shows_its_certificate,
    stays,
    takes_what_we_compress,
    told,
    wants_our_certificate,
)
from tests.kit.certificates import Authority
from tests.kit.examples import NO_PROXY
from tests.kit.peers import soon
from tests.kit.programs import program

pytestmark = pytest.mark.asyncio

MORE = {"fanmesh_deadline", "fanmesh_large", "fanmesh_gzip", "fanmesh_rich_status"}


@pytest.fixture(autouse=True)
def go() -> None:
    needs(("go",), "more")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


async def passes(address: str, case: str, *flags: str) -> None:
    """A case of grpc-go's interop client, which exits with 1 and says why if it fails."""
    host, port = address.split(":")
    where = (f"-server_host={host}", f"-server_port={port}", f"-test_case={case}")
    async with program(BUILT / "client", *where, *flags, environment=NO_PROXY) as running:
        code = await running.ended(BUSY)
        assert code == 0, "".join(running.heard)


@pytest.mark.parametrize("case", [*OFFICIAL, "pick_first_unary", "rpc_soak"])
async def test_its_interop_client_calls_us(case: str) -> None:
    """Every case that needs no cloud."""
    async with fast_server() as (service, address):
        await passes(address, case)
        if case == "cancel_after_first_response":
            await soon(service.cancelled)


@pytest.mark.parametrize("case", ["large_unary", "ping_pong", "special_status_message", "cancel_after_first_response"])
async def test_its_interop_client_calls_us_encrypted(case: str, authority: Authority) -> None:
    """With a certificate of our own, and h2 agreed on in the handshake."""
    async with fast_server(authority) as (_, address):
        await passes(address, case, "-use_tls", "-use_test_ca", f"-ca_file={authority.file}")


async def test_we_call_its_interop_server() -> None:
    """Every case that it can be asked."""
    async with foreign_server(BUILT / "server", "-port=0", GRPC_GO_LOG_SEVERITY_LEVEL="info") as (_, channel):
        await stays(channel)
        assert await outcomes(channel, PUBLISHED) == dict.fromkeys(PUBLISHED, "ok")


async def test_the_rest_both_ways() -> None:
    """Deadlines, megabytes, gzip and rich statuses."""
    async with fast_server() as (_, address):
        assert await told(BUILT / "more", "client", address) == dict.fromkeys(MORE, "ok")
    async with foreign_server(BUILT / "more", "server") as (server, channel):
        await hears_of_a_cancellation(server, channel)
        assert await outcomes(channel, COMPRESSED) == dict.fromkeys(COMPRESSED, "ok")


async def test_the_rest_both_ways_encrypted(authority: Authority) -> None:
    """The same over TLS."""
    async with fast_server(authority) as (_, address):
        assert await told(BUILT / "more", "client", address, authority.file) == dict.fromkeys(MORE, "ok")
    files = authority.files()
    async with foreign_server(BUILT / "more", "server", *files, authority=authority) as (_, channel):
        assert await outcomes(channel, COMPRESSED) == dict.fromkeys(COMPRESSED, "ok")


async def test_compression_both_ways() -> None:
    """It reads the answers that we compress, and takes the requests; not many bytes travel."""
    await reads_what_we_compress(BUILT / "more", "client", cases=sorted(MORE))
    await takes_what_we_compress(BUILT / "more", "server")


async def test_certificates_of_callers_both_ways(authority: Authority) -> None:
    """Who has one is served, and who has none is told so. By our program: gRPC's own have no flag for it."""
    await shows_its_certificate(authority, BUILT / "more", "client", cases=sorted(MORE))
    await wants_our_certificate(authority, BUILT / "more", "server")
