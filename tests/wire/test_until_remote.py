"""`until: predicate`, `confidence` and `quiet` with the Aggregator as a process of its own, through the whole of Dispatch."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aggregator import stream
from fanmesh.expr import evaluator
from fanmesh.model.completion import Evaluate, Predicate, UntilKind
from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchState, CompletedBy
from fanmesh.workers import Context, Replace, worker
from tests.kit.aggregators import Process, Told, dialled, patience, until
from tests.kit.calls import Heard, ask
from tests.kit.logs import Story, rule
from tests.kit.mesh import Mesh, plan, running
from tests.kit.roles import Hanging, says
from tests.kit.scraping import scrape

pytestmark = pytest.mark.asyncio

EMBEDDED, REMOTE, FELL_BACK = AggregatorMode.EMBEDDED, AggregatorMode.REMOTE, AggregatorMode.FELL_BACK

LONG = {"budget": "60s", "merge_reserve": "10s"}
ENOUGH = 'has(merged.parts) && merged.parts.n > 1 && attributes.mode == "fast"'
PLANS = {
    "predicate": plan("early", "parts", "hangs", complete={"until": {"predicate": ENOUGH}}, **LONG),
    "put_off": plan(
        *("early", "parts", "hangs"),
        complete={"until": {"predicate": "has(merged.parts)", "min_interval": "30ms"}},
        **LONG,
    ),
    "quiet": plan("early", "parts", "hangs", complete={"until": {"quiet": "60ms"}}, **LONG),
    "confidence": plan("early", "parts", "hangs", complete={"until": {"confidence": 0.9}}, **LONG),
    "error": plan("early", "late", complete={"until": {"predicate": "merged.early.n > 0"}}, **LONG),
}
BY = {
    "predicate": CompletedBy.PREDICATE,
    "put_off": CompletedBy.PREDICATE,
    "quiet": CompletedBy.QUIET,
    "confidence": CompletedBy.CONFIDENCE,
    "error": CompletedBy.ALL,
}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """An aggregator."""
    process = Process(f"unix:{tmp_path / 'aggregator.sock'}")
    yield process
    process.destroy()


@asynccontextmanager
async def mesh(aggregator: str, go: asyncio.Event, begun: asyncio.Event) -> AsyncIterator[Mesh]:
    """A dispatcher whose workers wait half-way for `go`; one of them never ends."""

    @worker("parts")
    async def parts(ctx: Context) -> AsyncIterator[Any]:
        yield Replace({"n": 1})
        begun.set()
        await go.wait()
        ctx.report(confidence=0.95)
        yield Replace({"n": 2})
        await asyncio.get_running_loop().create_future()

    @worker("late")
    async def late() -> int:
        begun.set()
        await go.wait()
        return 1

    workers = {"early": says("text"), "late": late, "parts": parts, "hangs": Hanging().worker}
    server = {"aggregator": aggregator, "metrics": "127.0.0.1:0"}
    async with running(workers, PLANS, server=server, ready_within=5.0, attributes=["mode", "tenant"]) as mesh:
        yield mesh


def told(heard: Heard) -> tuple[object, ...]:
    """What a reply says, without ids, times and mode."""
    assert heard.code is Code.OK, heard.message
    report = heard.report
    rows = tuple((row.branch, row.state, row.reason, row.merged) for row in report.branches)
    return json.loads(heard.response.result.json), report.completed_by, report.complete, rows


async def played(aggregator: str, name: str) -> Heard:
    """The reply to a request of plan `name` whose workers do not wait."""
    go = asyncio.Event()
    go.set()
    async with mesh(aggregator, go, asyncio.Event()) as at:
        with patience():
            return await at.dispatch(ask(name, attributes={"mode": "fast", "tenant": "x"}))


@pytest.mark.parametrize("name", sorted(PLANS))
async def test_the_service_comes_to_the_same(process: Process, name: str) -> None:
    """Attributes, alarms and parts reach it; the parts that it went by are in the reply."""
    here, there = await played("embedded", name), await played(process.address, name)
    assert (here.report.aggregator_mode, there.report.aggregator_mode) == (EMBEDDED, REMOTE)
    assert there.report.completed_by == BY[name]
    assert told(there) == told(here)
    if name != "error":
        assert (there.row("parts").state, there.row("parts").merged) == (BranchState.CANCELLED, True)


@pytest.mark.parametrize(("name", "errors"), [("predicate", 0), ("confidence", 0), ("error", 2)])
async def test_killed_in_mid_request(process: Process, name: str, errors: int) -> None:
    """The log that is replayed here asks the same predicate with the same attributes; what cannot be evaluated is counted."""
    expected = told(await played("embedded", name))
    go, begun = asyncio.Event(), asyncio.Event()
    async with mesh(process.address, go, begun) as at:
        with patience():
            reply = asyncio.ensure_future(at.dispatch(ask(name, attributes={"mode": "fast"})))
            await begun.wait()
            remote = at.dispatcher._remote
            assert remote is not None
            await until(lambda: all(not one._failover._unacked for one in remote._live.values()), "the events to be folded")
            process.send(signal.SIGKILL)
            await until(lambda: remote.running == 0, "the stream to end")
        go.set()
        heard = await reply
        assert heard.report.aggregator_mode == FELL_BACK
        assert told(heard) == expected
        seen = await scrape(at.dispatcher.metrics_port)
        assert seen.value("fanmesh_expression_errors_total", where="predicate") == errors


async def test_a_service_that_cannot_compile_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not know the expression refuses the log, and the request is merged here as for any broken aggregator."""

    def older(predicate: Predicate, attributes: Mapping[str, str]) -> Evaluate:
        raise ValueError(f"unknown function in {predicate.source} with {len(attributes)} attributes")

    asked = rule(UntilKind.PREDICATE, predicate=Predicate("size(merged) > 1"))
    story = Story("a", "b", "c", completion=asked, stop=8_000, language=evaluator)
    story.start("a", "b", "c")
    story.ok("a", 1)
    story.ok("b", 2)
    monkeypatch.setattr(stream, "evaluator", older)
    async with running({"w": Hanging().worker}, {"p": plan("a", a={"worker": "w"})}, remote=True) as at:
        remote = at.dispatcher._remote
        assert remote is not None
        with patience():
            async with dialled(remote.channel.address) as (aggregator, why):
                heard = Told(aggregator, story.log)
                heard.feed(heard.log)
                assert repr(await heard.result) == repr(story.result)
                assert (heard.session.mode, why) == (FELL_BACK, ["broken"])
