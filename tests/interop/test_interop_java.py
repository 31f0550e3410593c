"""The fast transport and grpc-java, both ways. Its interop programs are in no registry: ours asks and answers the cases."""

from pathlib import Path

import pytest

from tests.interop.cases import ASKED, COMPRESSED, outcomes
from tests.interop.peers import (
    BUILT,
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

pytestmark = pytest.mark.asyncio

TARGET = BUILT / "java" / "target"
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A program that runs for a second is not worth an optimiser."""

INTEROP = ("java", *QUICK, "-cp", f"{TARGET / 'classes'}:{TARGET / 'lib'}/*", "dev.example.interop.Main")


@pytest.fixture(autouse=True)
def java() -> None:
    needs(("java", "javac", "mvn"), "java/built")


@pytest.fixture(params=["plain", "encrypted"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    return Authority(tmp_path, "ours") if request.param == "encrypted" else None


async def test_it_calls_us(authority: Authority | None) -> None:
    """Every case by name."""
    async with fast_server(authority) as (_, address):
        assert await told(*INTEROP, "client", address, *([authority.file] if authority else [])) == dict.fromkeys(ASKED, "ok")


async def test_a_quiet_call_is_not_pinged_to_death() -> None:
    """Keepalive of ours within what its server allows."""
    async with foreign_server(*INTEROP, "server") as (_, channel):
        await stays(channel)


async def test_we_call_it(authority: Authority | None) -> None:
    """Every case by name, and what we cancel ends there."""
    files = authority.files() if authority else ()
    async with foreign_server(*INTEROP, "server", *files, authority=authority) as (server, channel):
        await hears_of_a_cancellation(server, channel)
        assert await outcomes(channel, COMPRESSED) == dict.fromkeys(COMPRESSED, "ok")


async def test_compression_both_ways() -> None:
    """It reads the answers that we compress, and takes the requests; not many bytes travel."""
    await reads_what_we_compress(*INTEROP, "client", cases=ASKED)
    await takes_what_we_compress(*INTEROP, "server")


async def test_certificates_of_callers_both_ways(tmp_path: Path) -> None:
    """Who has one is served, and who has none is told so."""
    authority = Authority(tmp_path, "ours")
    await shows_its_certificate(authority, *INTEROP, "client", cases=ASKED)
    await wants_our_certificate(authority, *INTEROP, "server")
