"""Each transport, and each pair of them, for the tests that ask for one."""

import pytest

from fanmesh.transport.port import Transport
from tests.kit.peers import TRANSPORTS, Pair


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    """One transport, on both sides."""
    return TRANSPORTS[request.param]()


@pytest.fixture(params=[(client, server) for client in TRANSPORTS for server in TRANSPORTS], ids="-to-".join)
def pair(request: pytest.FixtureRequest) -> Pair:
    """A client's and a server's transport: each with itself, and with the other one."""
    client, server = request.param
    return Pair(TRANSPORTS[client](), TRANSPORTS[server]())
