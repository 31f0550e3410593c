"""A channel of the fast transport to a name with many addresses."""

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import ChannelOptions, Routes, RpcError, ServerCall
from tests.kit.peers import failing

pytestmark = pytest.mark.asyncio

FAST = FastTransport()


async def test_calls_go_to_all_addresses_of_a_name_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`spread`: each address gets as much as the others; a lost one gets nothing, and one that joins is found."""
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def resolve(_: str, port: int, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    real = asyncio.get_running_loop().getaddrinfo

    async def getaddrinfo(host: str, port: int, **more: Any) -> Any:
        return await (resolve(host, port) if host == "many.test" else real(host, port, **more))

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    def named(name: str) -> Routes:
        async def who(_: bytes, __: ServerCall) -> bytes:
            return name.encode()

        return Routes(unary={"/t.T/who": who})

    first = FAST.server("127.0.0.1:0", named("1"))
    second, third = (FAST.server(f"127.0.0.{n}:{first.port}", named(str(n))) for n in (2, 3))
    for server in (first, second, third):
        await server.start()
    channel = FAST.connect(f"dns:///many.test:{first.port}", ChannelOptions(spread=True, reconnect_max=0.05))
    assert channel.ready()
    assert await channel.wait_ready(5)

    async def until(*names: str) -> None:
        """Until these answer, and in turn."""
        async with asyncio.timeout(5):
            while True:
                found = [await outcome(channel) for _ in range(2 * len(names))]
                if sorted(map(str, found)) == sorted(2 * names):
                    return

    await until("1", "2")
    addresses[:] = ["127.0.0.1", "127.0.0.3"]
    await second.stop()
    await until("1", "3")
    await third.stop()
    await until("1")
    await first.stop()
    async with asyncio.timeout(5):
        while not (await outcome(channel)).startswith("UNAVAILABLE: cannot connect"):
            pass
    assert not channel.ready()
    error = await failing(lambda: channel.unary("/t.T/who", b"", timeout=5))
    assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    await channel.close()


async def outcome(channel: Any) -> str:
    """Who answers a call, or how it fails."""
    try:
        return str((await channel.unary("/t.T/who", b"", timeout=5)).payload.decode())
    except RpcError as error:
        return str(error)


async def test_a_name_that_means_nothing_is_unavailable() -> None:
    """Spread or not: never sent."""
    for spread in (False, True):
        channel = FAST.connect("dns:///nobody.invalid:1", ChannelOptions(spread=spread))
        error = await failing(lambda: channel.unary("/t.T/x", b"", timeout=10))  # noqa: B023
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
        await channel.close()
