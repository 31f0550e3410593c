"""Foreign programs for the interoperability tests: where they are, what they need, how they are called and listened to."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Channel, ChannelOptions, Compression, RpcError, ServerOptions
from tests.interop.cases import EVERY, LARGE, OFFICIAL, Case, length, outcomes, streamed
from tests.interop.service import SERVICE, TestService
from tests.kit.certificates import Authority
from tests.kit.counting import counted
from tests.kit.examples import NO_PROXY
from tests.kit.programs import ROOT, Program, program

BUILT: Final = ROOT / ".tools" / "interop"
FAST: Final = FastTransport()
BUSY: Final = 90.0
"""Seconds for a foreign program to be done with its cases, on a machine with other work."""


def needs(tools: Sequence[str], built: str) -> None:
    """Skip the test, loudly, if the language is not here; else see that what it is for is built, as the sources say now."""
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"NOT RUN: no {', '.join(absent)} here")
    _build(built)


@cache
def _build(built: str) -> None:
    """One of the parts of `make interop-tools`. AssertionError with what make said if that fails."""
    target = str((BUILT / built).relative_to(ROOT))
    made = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


async def told(*command: str | Path) -> dict[str, str]:
    """What a foreign client says of each case: `name: ok`, or what went wrong."""
    async with program(*command, environment=NO_PROXY) as running:
        code = await running.ended(BUSY)
        said = "".join(running.heard)
    found = dict(re.findall(r"^(\w+): (.*)$", said, flags=re.MULTILINE))
    assert found, f"exit code {code}: {said}"
    return found


async def hears_of_a_cancellation(server: Program, channel: Channel) -> None:
    """Our cancelled call ends its handler: the server says so."""
    await OFFICIAL["cancel_after_first_response"](channel)
    await server.says("cancelled")


async def stays(channel: Channel) -> None:
    """A call that is quiet for far longer than keepalive waits does not make the server hang up: too_many_pings."""
    asking = FAST.connect(channel.address, ChannelOptions(keepalive_every=0.1))
    stream = asking.stream(f"{SERVICE}StreamingOutputCall", streamed(1, pause_us=1_500_000), timeout=BUSY)
    assert [length(answer) async for answer in stream] == [1]
    await asking.close()


@asynccontextmanager
async def fast_server(
    authority: Authority | None = None, *, mutual: bool = False, compression: Compression = Compression.NONE
) -> AsyncIterator[tuple[TestService, str]]:
    """The test service on the fast transport, and its address. `mutual`: callers must show a certificate."""
    service = TestService()
    tls = authority.server(trusting=authority if mutual else None) if authority else None
    options = ServerOptions(tls=tls, compression=compression)
    server = FAST.server("127.0.0.1:0", service.routes(), options=options)
    await server.start()
    try:
        yield service, f"localhost:{server.port}" if authority else f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


@asynccontextmanager
async def foreign_server(
    *command: str | Path, authority: Authority | None = None, **variables: str
) -> AsyncIterator[tuple[Program, Channel]]:
    """A foreign server, which says where it listens, and a channel of the fast transport to it."""
    async with program(*command, environment={**NO_PROXY, **variables}) as running:
        port = (await running.says(r"listening on .*?(\d+)\s*$", BUSY))[1]
        channel = FAST.connect(f"localhost:{port}", ChannelOptions(tls=authority.client() if authority else None))
        try:
            yield running, channel
        finally:
            await channel.close()


# ---------------------------------------------------------------- compression: cases that all programs have


async def reads_what_we_compress(*command: str | Path, cases: Sequence[str]) -> None:
    """A foreign client, given as its command without the address, has its answers compressed, and notices nothing."""
    async with fast_server(compression=Compression.GZIP) as (_, address), counted(int(address.split(":")[1])) as pipe:
        assert await told(*command, f"127.0.0.1:{pipe.port}") == dict.fromkeys(cases, "ok")
        assert pipe.got < LARGE / 2 < pipe.sent


async def takes_what_we_compress(*command: str | Path, cases: Mapping[str, Case] = EVERY) -> None:
    """A foreign server has its requests compressed, and notices nothing; unless it does so itself, it answers in the clear."""
    async with foreign_server(*command) as (_, plain), counted(int(plain.address.split(":")[1])) as pipe:
        channel = FAST.connect(f"127.0.0.1:{pipe.port}", ChannelOptions(compression=Compression.GZIP))
        assert await outcomes(channel, dict(cases)) == dict.fromkeys(cases, "ok")
        assert pipe.sent < LARGE / 2
        await channel.close()


# ---------------------------------------------------------------- certificates of callers


async def wants_our_certificate(authority: Authority, *command: str | Path) -> None:
    """A foreign server that wants callers' certificates: with one of its authority we are served, without one told so."""
    async with foreign_server(*command, *authority.files(), authority.file, authority=authority) as (_, none):
        shown = FAST.connect(none.address, ChannelOptions(tls=authority.client(shown=True)))
        few = {name: OFFICIAL[name] for name in ("empty_unary", "large_unary", "ping_pong")}
        assert await outcomes(shown, few) == dict.fromkeys(few, "ok")
        await shown.close()
        with pytest.raises(RpcError) as e:
            await none.unary(f"{SERVICE}EmptyCall", b"", timeout=BUSY)
        assert (e.value.code, e.value.sent) == (Code.UNAVAILABLE, False), e.value


WITHOUT_A_CONNECTION: Final = {"cancel_after_begin", "timeout_on_sleeping_server"}
"""Cases that end as they should, whether there is a server or not."""


async def shows_its_certificate(authority: Authority, *command: str | Path, cases: Sequence[str]) -> None:
    """Our server wants callers' certificates: a foreign client with one is served, and one without told so, and soon."""
    async with fast_server(authority, mutual=True) as (_, address):
        assert await told(*command, address, authority.file, *authority.files("client")) == dict.fromkeys(cases, "ok")
        without = await told(*command, address, authority.file)
    assert set(without) == set(cases)
    assert {name for name in cases if without[name] == "ok"} <= WITHOUT_A_CONNECTION, without
    assert "unavailable" in without["fanmesh_large"].lower(), without
