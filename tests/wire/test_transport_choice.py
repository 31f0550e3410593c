"""Who chooses the transport: the configuration, a command line, the environment, a program; and both in one process."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import load_mapping
from dispatcher.settings import Settings
from fanmesh import AsyncClient
from fanmesh.transport.choosing import UnknownTransport, by_name
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import ChannelOptions, ServerOptions
from fanmesh.workers import serve, worker
from tests.kit.certificates import Authority
from tests.kit.peers import Worker as Peer


@pytest.fixture(autouse=True)
def nobody_has_named_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suites run over the other transport by this variable; here it is a test's to set."""
    monkeypatch.delenv("FANMESH_TRANSPORT", raising=False)


@worker("w")
async def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


def document(ports: dict[str, int], transports: dict[str, str | None], server: str | None) -> dict[str, Any]:
    """A configuration with a worker for each port, each over its transport."""
    workers = {
        name: {"target": f"127.0.0.1:{port}", "effect": "read", "transport": transports[name]} for name, port in ports.items()
    }
    return {
        "version": 1,
        "default_policy": "none",
        "workers": workers,
        "plans": {"p": {"branches": {name: {"worker": name} for name in workers}}},
        "server": {"listen": "127.0.0.1:0", "metrics": None, "transport": server},
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("server", ["grpcio", "fast", None])
@pytest.mark.parametrize("caller", ["grpcio", "fast"])
async def test_a_dispatcher_serves_and_calls_over_what_its_configuration_names(server: str | None, caller: str) -> None:
    """Workers by each transport over each transport, one of them twice at the same address; callers by either."""
    served = {name: await serve(double, transport=name) for name in ("grpcio", "fast")}
    ports = {f"{name}_{n}": served[name].port for name in served for n in range(3)}
    transports = {key: ("grpcio", "fast", None)[int(key[-1])] for key in ports}
    dispatcher = Dispatcher(load_mapping(document(ports, transports, server), MERGES), Settings())
    await dispatcher.start()
    kinds = {type(channel).__name__ for channel in dispatcher._endpoints._channels.values()}
    assert kinds == {"GrpcChannel", "FastChannel"}
    assert type(dispatcher._server).__name__ == ("FastServer" if server == "fast" else "GrpcServer")
    async with AsyncClient(f"127.0.0.1:{dispatcher.port}", transport=caller) as client:
        result = await client.dispatch("p", 21)
    assert result.value == dict.fromkeys(ports, 42)
    await dispatcher.stop()
    for one in served.values():
        await one.stop()


@pytest.mark.asyncio
async def test_the_environment_names_it_where_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a whole fleet, or a test run."""
    monkeypatch.setenv("FANMESH_TRANSPORT", "fast")
    server = await serve(double)
    assert type(server).__name__ == "FastServer"
    await server.stop()
    server = await serve(double, transport="grpcio")
    assert type(server).__name__ == "GrpcServer"
    await server.stop()


def test_a_transport_that_is_not_installed_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only who asks for it hears of it; a name that nobody knows is told with those that there are."""
    for module in [name for name in sys.modules if name.startswith("fanmesh.transport.fast")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "ngh2", None)
    assert isinstance(by_name("grpcio"), GrpcTransport)
    with pytest.raises(UnknownTransport, match=r"pip install 'fanmesh\[fast\]'"):
        by_name("fast")
    with pytest.raises(UnknownTransport, match="grpcio, fast"):
        by_name("quick")


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("address", ["127.0.0.1:0", "unix:{}/s"], ids=["tcp", "unix"])
def test_fast_runs_on_uvloop(tmp_path: Path, address: str, *, encrypted: bool) -> None:
    """As it does in a served process: each kind of call, over each kind of socket."""

    async def main() -> None:
        authority = Authority(tmp_path, "ours") if encrypted else None
        tls: Callable[[str], Any] = lambda side: getattr(authority, side)() if authority is not None else None  # noqa: E731
        listen = address.format(tmp_path)
        server = FastTransport().server(listen, Peer().routes(), options=ServerOptions(tls=tls("server")))
        await server.start()
        to = listen if server.port == 0 else f"127.0.0.1:{server.port}"
        channel = FastTransport().connect(to, ChannelOptions(tls=tls("client")))
        big = b"x" * 3_000_000
        assert (await channel.unary("/t.T/echo", big, timeout=10)).payload == big
        stream = channel.stream("/t.T/count", b"50")
        assert len([part async for part in stream]) == 50
        await stream.aclose()
        call = channel.duplex("/t.T/chat")
        await call.write(b"a")
        assert await call.read() == b"A"
        await call.half_close()
        assert await call.read() is None
        await call.aclose()
        await channel.close()
        await server.stop(grace=1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
