"""The fast transport and programs of ours on other libraries, both ways.

The interop programs of grpc-java and grpc-js are in no registry, and those of grpc-go leave some cases out. Of grpcio it is the
blocking API, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.interop.cases import ASKED, COMPRESSED, EVERY, Case, outcomes
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
from tests.interop.service import PROTO
from tests.kit.certificates import Authority
from tests.kit.programs import python

pytestmark = pytest.mark.asyncio


@dataclass(frozen=True, slots=True)
class Foreign:
    """A program that is a client and a server. `asks`, `answers`: the cases of either; `built` by `tools`, if by any."""

    command: Sequence[str | Path]
    asks: Sequence[str]
    answers: Mapping[str, Case]
    tools: tuple[str, ...] = ()
    built: str = ""


JAVA: Final = BUILT / "java" / "target"
QUICK: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A program that runs for a second is not worth an optimiser."""

MORE: Final = ("fanmesh_deadline", "fanmesh_gzip", "fanmesh_large", "fanmesh_rich_status")
"""What grpc-go's own client leaves out."""

PROGRAMS: Final = {
    "grpcio": Foreign(python("-m", "tests.interop.blocking"), ASKED, COMPRESSED),
    "go": Foreign((BUILT / "more",), MORE, COMPRESSED, ("go",), "more"),
    "java": Foreign(
        ("java", *QUICK, "-cp", f"{JAVA / 'classes'}:{JAVA / 'lib'}/*", "dev.example.interop.Main"),
        ASKED,
        COMPRESSED,
        ("java", "javac", "mvn"),
        "java/built",
    ),
    "node": Foreign(("node", BUILT / "node" / "interop.js", PROTO), ASKED, EVERY, ("node", "npm"), "node/interop.js"),
}


@pytest.fixture(params=PROGRAMS)
def foreign(request: pytest.FixtureRequest) -> Foreign:
    """Each of them, built."""
    found = PROGRAMS[request.param]
    if found.tools:
        needs(found.tools, found.built)
    return found


@pytest.fixture(params=["plain", "encrypted"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    """Whose certificates are trusted, if any are needed."""
    return Authority(tmp_path, "ours") if request.param == "encrypted" else None


async def test_it_calls_us(foreign: Foreign, authority: Authority | None) -> None:
    """Every case by name."""
    async with fast_server(authority) as (_, address):
        cases = await told(*foreign.command, "client", address, *([authority.file] if authority else []))
        assert cases == dict.fromkeys(foreign.asks, "ok")


async def test_we_call_it(foreign: Foreign, authority: Authority | None) -> None:
    """Every case by name, and what we cancel ends there."""
    files = authority.files() if authority else ()
    async with foreign_server(*foreign.command, "server", *files, authority=authority) as (server, channel):
        await hears_of_a_cancellation(server, channel)
        assert await outcomes(channel, dict(foreign.answers)) == dict.fromkeys(foreign.answers, "ok")


async def test_a_quiet_call_is_not_pinged_to_death(foreign: Foreign) -> None:
    """Keepalive of ours within what its server allows."""
    async with foreign_server(*foreign.command, "server") as (_, channel):
        await stays(channel)


async def test_compression_both_ways(foreign: Foreign) -> None:
    """It reads the answers that we compress, and takes the requests; not many bytes travel."""
    await reads_what_we_compress(*foreign.command, "client", cases=foreign.asks)
    await takes_what_we_compress(*foreign.command, "server")


async def test_certificates_of_callers_both_ways(foreign: Foreign, tmp_path: Path) -> None:
    """Who has one is served, and who has none is told so."""
    authority = Authority(tmp_path, "ours")
    await shows_its_certificate(authority, *foreign.command, "client", cases=foreign.asks)
    await wants_our_certificate(authority, *foreign.command, "server")
