"""Which failures were certainly never sent: the only ones after which a write is made again. For every supported grpcio."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from typing import Final

import grpc
import pytest

from fanmesh.model.fault import Code
from fanmesh.transport.port import RpcError
from tests.kit.never_sent import NEVER_SENT, SENT, Connection, channel_to, raw
from tests.kit.other_grpcio import ROOT, output_of

OTHERS: Final = ("1.80.1", "1.81.2", "1.82.3", "1.84.2", "1.85.3")
"""The last patch of each supported minor but the pinned one."""

NEVER_PUBLISHED: Final = {79}
"""Minors of grpcio 1 that are not on PyPI."""


@pytest.fixture(autouse=True)
def no_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRPC_XDS_BOOTSTRAP", raising=False)
    monkeypatch.delenv("GRPC_XDS_BOOTSTRAP_CONFIG", raising=False)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", sorted(NEVER_SENT))
async def test_never_sent(way: str) -> None:
    """Calls of every kind, also during the back-off, end UNAVAILABLE with `sent` False."""
    assert {(error.code, error.sent) for error in await NEVER_SENT[way]()} == {(Code.UNAVAILABLE, False)}


@pytest.mark.asyncio
@pytest.mark.parametrize("way", sorted(SENT))
async def test_sent_or_in_doubt(way: str) -> None:
    """Once a server could have seen it, it was sent, whatever the server or the text says."""
    assert {(error.code, error.sent) for error in await SENT[way]()} == {(Code.UNAVAILABLE, True)}


@pytest.mark.slow
@pytest.mark.parametrize("version", OTHERS)
def test_every_supported_grpcio_says_it_in_words_that_are_known(version: str) -> None:
    """Another grpcio may have other texts; they have to mean the same."""
    told = json.loads(output_of(version, "tests.kit.never_sent"))
    assert told["grpcio"] == version
    seen = {way: {(code, sent) for code, sent, _ in errors} for way, errors in told["ways"].items()}
    assert seen == {way: {("UNAVAILABLE", way in SENT)} for way in (*NEVER_SENT, *SENT)}, told["ways"]


def test_these_are_the_supported_versions() -> None:
    """A wider range in pyproject.toml needs its proof here."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    [ranges] = [text for text in dependencies if re.match(r"grpcio\b(?!-)", text)]
    bounds = re.fullmatch(r"grpcio>=1\.(\d+)(?:\.\d+)?,<1\.(\d+)((?:,!=1\.\d+\.\*)*)", ranges)
    assert bounds is not None, ranges
    excluded = {int(minor) for minor in re.findall(r"!=1\.(\d+)", bounds[3])}
    supported = set(range(int(bounds[1]), int(bounds[2]))) - excluded - NEVER_PUBLISHED
    assert {int(version.split(".")[1]) for version in (grpc.__version__, *OTHERS)} == supported


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_closing_a_channel_under_a_call_leaves_it_in_doubt(kind: str) -> None:
    """A drained channel cuts off what still flies after `server.drain`: that request had reached its worker."""
    arrived = asyncio.Event()

    async def serve(c: Connection) -> None:
        await c.shake()
        await c.request()
        arrived.set()
        await c.reader.read()

    async with raw(serve) as port, channel_to(f"127.0.0.1:{port}") as channel:
        stream = channel.stream("/t.T/write", b"x", timeout=30) if kind == "stream" else None
        call = asyncio.ensure_future(stream.read() if stream is not None else channel.unary("/t.T/write", b"x", timeout=30))
        await asyncio.wait_for(arrived.wait(), 10)
        await channel.close()
        with pytest.raises(RpcError) as e:
            await call
        if stream is not None:
            await stream.aclose()
        assert (e.value.code, e.value.sent) == (Code.UNAVAILABLE, True)
