"""examples/foreign: a service in Go that never heard of Fanmesh is a branch, by its descriptors and by reflection."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fanmesh.model.fault import Code
from fanmesh.payload import to_value
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.v1 import report_pb2
from tests.kit.calls import Caller, ask
from tests.kit.examples import NO_PROXY, copied, succeeds
from tests.kit.programs import ROOT, program

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

HOME = Path("examples") / "foreign"
ME = (("authorization", "Bearer me"),)


def configured(shop: str) -> Path:
    """examples/foreign/fanmesh.yaml for the service where it is, with other times: a busy machine is not the example's."""
    text = (ROOT / HOME / "fanmesh.yaml").read_text()
    for old, new in {"127.0.0.1:50074": shop, "127.0.0.1:50050": "127.0.0.1:0", "latency: 2s": "latency: 30s"}.items():
        assert old in text
        text = text.replace(old, new)
    text = text.replace("soft_timeout: 1s", "soft_timeout: 20s")
    file = copied() / HOME / "gen" / "here.yaml"  # a folder that is made, beside the descriptors
    file.write_text(text.replace("gen/shop.binpb", "shop.binpb"))
    return file


async def test_a_service_that_never_heard_of_fanmesh(record_property: Callable[[str, object], None]) -> None:
    """Unary by descriptors, streamed by reflection, both in one answer; its errors and its need for a header are its own."""
    if shutil.which("go") is None:
        pytest.skip("NOT RUN: no go here, so nothing is proved about services that know nothing of Fanmesh")
    record_property("example", "a foreign service in Go")
    readme = (ROOT / HOME / "README.md").read_text()
    (build, *_) = re.findall(r"^```sh\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    await succeeds(build)
    binary = str(copied() / HOME / "bin" / "shop")
    async with program(binary, "127.0.0.1:0", cwd=copied(), environment=NO_PROXY) as shop:
        port = (await shop.says(r"serving on port (\d+)"))[1]
        file = configured(f"127.0.0.1:{port}")
        serve = (sys.executable, "-m", "fanmesh.cli", "serve", str(file))
        async with program(*serve, cwd=ROOT, environment={"FANMESH_LOG_FORMAT": "json", **NO_PROXY}) as dispatcher:
            listening = (await dispatcher.says(r"dispatcher on 127\.0\.0\.1:(\d+)"))[1]
            channel = GrpcTransport().connect(f"127.0.0.1:{listening}")
            try:
                await check(Caller(channel))
            finally:
                await channel.close()


async def check(caller: Caller) -> None:
    """What the dispatcher answers."""
    dollars = {"json": '{"currency": "USD", "amount": 5}'}
    heard = await caller.dispatch(ask(plan="price", input=dollars), metadata=ME)
    assert heard.code is Code.OK, heard.message
    rates = {"rates": [1.25, 1.25, 1.25], "since": "2025-03-01T00:00:00Z"}
    assert to_value(heard.response.result) == {"eur": 4, "cents": 0, **rates}
    assert heard.response.report.complete

    heard = await caller.dispatch(ask(plan="price", input=dollars))
    assert to_value(heard.response.result) == rates
    row = heard.response.report.branches[0]
    assert (row.branch, row.status.code, row.status.message) == ("rates", Code.UNAUTHENTICATED, "who are you?")

    heard = await caller.dispatch(ask(plan="price", input={"json": '{"currency": "NONE", "amount": 5}'}), metadata=ME)
    row = heard.response.report.branches[0]
    assert row.state == report_pb2.BRANCH_STATE_FAILED
    assert row.status.code == Code.INVALID_ARGUMENT
    assert row.status.message == "unknown currency (NO_SUCH_CURRENCY of shop.example: to=EUR)"
