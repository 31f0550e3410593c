"""Encryption of the fast transport: who is trusted, by whom, and that HTTP/2 is agreed on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import ChannelOptions, ServerOptions
from tests.kit.certificates import Authority
from tests.kit.peers import Worker, failing, soon

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"), "theirs")


@asynccontextmanager
async def serving(tls: ssl.SSLContext, listen: str = "127.0.0.1:0", options: ServerOptions | None = None) -> AsyncIterator[Any]:
    """An encrypted server with a Worker's routes."""
    server = FAST.server(listen, Worker().routes(), options=replace(options or ServerOptions(), tls=tls))
    await server.start()
    yield server
    await server.stop()


async def refused(address: str, options: ChannelOptions) -> None:
    """A call does not get through, and was never sent."""
    channel = FAST.connect(address, options)
    error = await failing(lambda: channel.unary("/t.T/echo", b"x", timeout=5))
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    await channel.close()


async def test_calls_are_encrypted_for_who_trusts_the_server(ours: Authority, theirs: Authority) -> None:
    """Large ones, too; who trusts somebody else, or encrypts nothing, sends nothing."""
    async with serving(ours.server()) as server:
        address = f"localhost:{server.port}"
        channel = FAST.connect(address, ChannelOptions(tls=ours.client()))
        big = b"x" * 5_000_000
        assert (await channel.unary("/t.T/echo", big, timeout=10)).payload == big
        stream = channel.stream("/t.T/count", b"100")
        assert len([part async for part in stream]) == 100
        await stream.aclose()
        await channel.close()
        await refused(address, ChannelOptions(tls=theirs.client()))
        await refused(address, ChannelOptions(connect_timeout=0.2))


async def test_a_server_that_asks_for_certificates_serves_those_who_have_one(ours: Authority, theirs: Authority) -> None:
    """Mutual TLS: any other certificate, or none, is a connection that was not made."""
    async with serving(ours.server(trusting=theirs)) as server:
        address = f"127.0.0.1:{server.port}"
        known = ours.client()
        known.load_cert_chain(*theirs._signed("caller"))
        channel = FAST.connect(address, ChannelOptions(tls=known))
        assert (await channel.unary("/t.T/echo", b"x", timeout=5)).payload == b"x"
        await channel.close()
        await refused(address, ChannelOptions(tls=ours.client()))
        await refused(address, ChannelOptions(tls=ours.client(shown=True)))


async def test_who_does_not_agree_on_http2_is_not_talked_to(ours: Authority) -> None:
    """ALPN must say h2, on both sides."""
    async with serving(ours.server()) as server:
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=ours.client())
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()

    other = await asyncio.start_server(silent, "127.0.0.1", 0, ssl=ours.server())
    await refused(f"127.0.0.1:{other.sockets[0].getsockname()[1]}", ChannelOptions(tls=ours.client()))
    other.close()


async def test_who_shakes_no_hands_leaves_nothing_behind(ours: Authority) -> None:
    """A scanner that speaks HTTP to the port, many times."""
    async with serving(ours.server(), options=ServerOptions(connection_age=3600)) as server:
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert not server._connections


async def test_a_handshake_that_outlives_the_server_is_answered_with_the_end(ours: Authority) -> None:
    """Nobody serves any more, and nothing is left in the server: the call fails, as it would at a closed port."""
    gate, halfway = asyncio.Event(), asyncio.Event()
    lines: list[Any] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with closing(sink), suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A line that holds back the caller's second packet."""
        lines.append(asyncio.current_task())
        with closing(writer), suppress(ConnectionError):
            beyond, into = await asyncio.open_connection("127.0.0.1", server.port)
            into.write(await reader.read(65536))
            writer.write(await beyond.read(65536))
            halfway.set()
            await gate.wait()
            await asyncio.gather(pump(reader, into), pump(beyond, writer))

    async with serving(ours.server()) as server:
        line = await asyncio.start_server(slowly, "127.0.0.1", 0)
        channel = FAST.connect(f"localhost:{line.sockets[0].getsockname()[1]}", ChannelOptions(tls=ours.client()))
        running = channel.unary("/t.T/echo", b"who is there?", timeout=5)
        await soon(halfway)
        await server.stop(grace=0.01)
        gate.set()
        assert (await failing(lambda: running)).code is Code.UNAVAILABLE
        assert not server._connections
        await channel.close()
        line.close()
        await asyncio.wait_for(asyncio.gather(*lines), 5)


async def test_a_unix_socket_can_be_encrypted(ours: Authority, tmp_path: Path) -> None:
    """The name that is checked is localhost."""
    async with serving(ours.server(), f"unix:{tmp_path / 's'}"):
        channel = FAST.connect(f"unix:{tmp_path / 's'}", ChannelOptions(tls=ours.client()))
        assert (await channel.unary("/t.T/echo", b"x", timeout=5)).payload == b"x"
        await channel.close()


async def test_the_other_transport_refuses_to_talk_in_the_clear(ours: Authority) -> None:
    """It takes no context, and must not ignore one."""
    with pytest.raises(ValueError, match="fast"):
        GrpcTransport().connect("localhost:1", ChannelOptions(tls=ours.client()))
    with pytest.raises(ValueError, match="fast"):
        GrpcTransport().server("localhost:0", Worker().routes(), options=ServerOptions(tls=ours.server()))


async def test_a_name_whose_addresses_are_called_in_turn_is_what_the_certificate_is_for(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the address, which is in no certificate; the server hears the name (SNI), too."""

    async def getaddrinfo(_: str, port: int, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", ("127.0.0.2", port))]

    heard: list[str | None] = []
    tls = ours.server()
    tls.sni_callback = lambda _socket, name, _context: heard.append(name)
    async with serving(tls, "127.0.0.2:0") as server:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        for name in ("localhost", "other.test"):
            channel = FAST.connect(f"{name}:{server.port}", ChannelOptions(tls=ours.client(), spread=True))
            if name == "localhost":
                assert (await channel.unary("/t.T/echo", b"x", timeout=5)).payload == b"x"
            else:
                error = await failing(lambda: channel.unary("/t.T/echo", b"x", timeout=5))  # noqa: B023
                assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
            await channel.close()
    assert heard[:2] == ["localhost", "other.test"]
