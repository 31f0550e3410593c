"""How the fast transport comes to a socket: of several addresses the first that answers, and what is no address at all."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.fast.dial import dial
from fanmesh.transport.port import ChannelOptions
from tests.kit.fast_served import serving
from tests.kit.h2_peer import answer, answering, on_request
from tests.kit.peers import failing

FAST = FastTransport()


@contextmanager
def swallowing(host: str, port: int = 0) -> Iterator[int]:
    """An address at which every attempt to connect is left without an answer, and its port."""
    with socket.socket() as hole, socket.socket() as one, socket.socket() as two, socket.socket() as three:
        hole.bind((host, port))
        hole.listen(0)
        for filling in (one, two, three):
            filling.setblocking(False)
            filling.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


def meaning(loop: Any, *addresses: str) -> None:
    """From now on `two.test` means these."""
    real = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **more: Any) -> Any:
        if host != "two.test":
            return await real(host, port, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for address in addresses]

    loop.getaddrinfo = getaddrinfo


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_address_that_swallows_everything_does_not_stand_before_the_others(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """On either loop, and well before the attempt as a whole is given up."""

    async def main() -> None:
        meaning(asyncio.get_running_loop(), "127.0.0.2", "127.0.0.1")
        async with serving() as (server, _):
            with swallowing("127.0.0.2", server.port):
                channel = FAST.connect(f"two.test:{server.port}", ChannelOptions(reconnect_initial=60.0))
                assert (await channel.unary("/t.T/echo", b"x", timeout=5)).payload == b"x"
                await channel.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.asyncio
async def test_the_families_are_tried_in_turn_and_each_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them may be cut off as a whole."""
    four, six = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2")], [(socket.AF_INET6, "::1")]

    async def getaddrinfo(_: str, port: int, **__: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 0, "", (address, port)) for family, address in four + six]

    async def sock_connect(_: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        raise OSError(f"no {address[0]}")

    tried: list[str] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
    with pytest.raises(OSError, match=r"^no 127.0.0.1; no ::1; no 127.0.0.2$"):
        await dial("many.test", 1)
    assert tried == ["127.0.0.1", "::1", "127.0.0.2"]


@pytest.mark.asyncio
async def test_an_attempt_that_is_given_up_leaves_no_socket_behind() -> None:
    """The loop watches none, and the test run fails for one that is not closed."""
    with swallowing("127.0.0.2") as port:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await dial("127.0.0.2", port)
        if dialling := asyncio.all_tasks() - {asyncio.current_task()}:
            assert not (await asyncio.wait(dialling, timeout=5))[1]


@pytest.mark.asyncio
async def test_the_kernel_gives_up_a_connection_whose_peer_acknowledges_nothing() -> None:
    """After as long as keepalive takes, which may not ask that often: without it calls go for minutes to where nobody is."""
    async with answering(on_request(answer)) as (address, _):
        channel: Any = FAST.connect(address, ChannelOptions(keepalive_every=3.5, keepalive_timeout=1.5))
        assert (await channel.unary("/t.T/x", b"", timeout=5)).payload == b"ok"
        connected = channel._links.connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await channel.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("address", ["geo..svc:80", "a" * 64 + ".example:80", "unix:/tmp/a\0b"])
async def test_a_name_that_cannot_be_one_is_a_connection_that_was_not_made(address: str, spread: bool) -> None:  # noqa: FBT001
    """Its calls fail, the first and the later ones: none waits for ever."""
    channel = FAST.connect(address, ChannelOptions(spread=spread))
    for _ in range(2):
        error = await asyncio.wait_for(failing(lambda: channel.unary("/t.T/x", b"")), 5)
        assert (error.code, error.sent) == (Code.UNAVAILABLE, False)
    await channel.close()
