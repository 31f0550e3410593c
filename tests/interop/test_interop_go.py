"""The fast transport and grpc-go: its own interop client and server, case by case. Ours is in test_interop_programs.py."""

from pathlib import Path

import pytest

from tests.interop.cases import OFFICIAL, PUBLISHED, outcomes
from tests.interop.peers import (
    BUILT,
    BUSY,
    fast_server,
    foreign_server,
    needs,
    stays,
)
from tests.kit.certificates import Authority
from tests.kit.examples import NO_PROXY
from tests.kit.peers import soon
from tests.kit.programs import program

pytestmark = pytest.mark.asyncio


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
