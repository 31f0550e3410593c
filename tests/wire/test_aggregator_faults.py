"""What callers see of an Aggregator process that is killed, stopped, slow or absent: nothing but a word in the report.

Through the whole of Dispatch: the request is in the middle of its work when the fault comes, and its reply must be the one
that the embedded aggregator would have given, in time, with nothing left running.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dispatcher.wire.aggregator_remote import RemoteAggregator
from dispatcher.wire.aggregator_session import RemoteSession
from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchState, CompletedBy, EmitMode
from fanmesh.workers import worker
from tests.kit.aggregators import Cable, Process, patience, until
from tests.kit.calls import Heard, ask
from tests.kit.mesh import Mesh, plan, running
from tests.kit.roles import Hanging, says
from tests.kit.scraping import scrape

pytestmark = pytest.mark.asyncio

EMBEDDED, REMOTE, FELL_BACK = AggregatorMode.EMBEDDED, AggregatorMode.REMOTE, AggregatorMode.FELL_BACK
LONG = {"budget": "60s", "merge_reserve": "10s"}
"""More than the kit's callers wait for: a reply that waited for its own stop, and not for the fault, fails its test."""
PLANS = {
    "p": plan("early", "late", "parts", merge={"deep_merge": {"country": "plan_order", "hits": "concat"}}, **LONG),
    "hangs": plan("early", "hangs", budget="10s", merge_reserve="1s"),
}


class Work:
    """A dispatcher with workers that stop half-way until `go`: then `late` answers and `parts` goes on."""

    def __init__(self, mesh: Mesh, go: asyncio.Event, begun: list[str]) -> None:
        self.mesh = mesh
        self.go = go
        self._begun = begun

    @property
    def remote(self) -> RemoteAggregator:
        """The dispatcher's side of the aggregator."""
        remote = self.mesh.dispatcher._remote
        assert remote is not None
        return remote

    @property
    def sessions(self) -> list[RemoteSession]:
        """Those of the requests that are being merged remotely."""
        return list(self.remote._live.values())

    async def midway(self, requests: int = 1) -> None:
        """Wait until so many requests wait for `go`, and the aggregator has folded all they have logged."""
        await until(lambda: len(self._begun) == 2 * requests, "the workers to be called")
        await until(lambda: all(session.settled for session in self.sessions), "the events to be folded")
        assert len(self.sessions) == requests
        assert {session.mode for session in self.sessions} == {REMOTE}

    async def gone(self, count: int) -> None:
        """Wait until nothing is left of the remote merges; so many were given up."""
        await until(lambda: self.remote.running == 0, "the streams to end")
        await self.mesh.idle()
        told = await scrape(self.mesh.dispatcher.metrics_port)
        assert told.value("fanmesh_aggregator_fallback_total") == count
        assert self.mesh.dispatcher.reaper.open == 0


@asynccontextmanager
async def work(aggregator: str | Cable) -> AsyncIterator[Work]:
    """Everything but the aggregator, in this process. At the end no task is left."""
    go = asyncio.Event()
    begun: list[str] = []

    @worker("late")
    async def late() -> Any:
        begun.append("late")
        await go.wait()
        return {"country": "FR", "hits": [0.1], "asn": 2**62}

    @worker("parts")
    async def parts() -> AsyncIterator[Any]:
        yield {"hits": ["a"]}
        begun.append("parts")
        await go.wait()
        yield {"hits": ["b"], "z": -0.0}

    workers = {"early": says({"country": "DE", "hits": []}), "late": late, "parts": parts, "hangs": Hanging().worker}
    async with AsyncExitStack() as stack:
        if isinstance(aggregator, Cable):
            stack.push_async_callback(aggregator.unplug)
            aggregator = await aggregator.plug()
        server = {"aggregator": aggregator, "metrics": "127.0.0.1:0"}
        mesh = await stack.enter_async_context(running(workers, PLANS, server=server, ready_within=0.5))
        yield Work(mesh, go, begun)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """Where the aggregator listens."""
    return tmp_path / "aggregator.sock"


@pytest.fixture
def process(socket: Path) -> Iterator[Process]:
    """An aggregator that may be hurt."""
    process = Process(f"unix:{socket}", "--drain", "5")
    yield process
    process.destroy()


def told(heard: Heard) -> tuple[object, ...]:
    """What a reply says, without ids, times and mode."""
    assert heard.code is Code.OK, heard.message
    report = heard.report
    return (
        heard.response.result.json,
        report.completed_by,
        report.complete,
        report.coverage.SerializeToString(deterministic=True),
        report.degraded.SerializeToString(deterministic=True),
        tuple(conflict.SerializeToString(deterministic=True) for conflict in report.conflicts),
        tuple((row.branch, row.state, row.reason, row.merged) for row in report.branches),
    )


async def embedded(plan_name: str = "p") -> tuple[object, ...]:
    """What the embedded aggregator makes of it."""
    async with work("embedded") as at:
        at.go.set()
        heard = await at.mesh.dispatch(ask(plan_name))
        assert heard.report.aggregator_mode == EMBEDDED
        return told(heard)


def assert_fell_back(heard: Heard) -> None:
    """The reply is a good one, and says so."""
    assert heard.code is Code.OK, heard.message
    assert heard.report.aggregator_mode == FELL_BACK


@pytest.mark.parametrize("requests", [1, 20])
async def test_killed_in_mid_request(process: Process, requests: int) -> None:
    """Every request in flight goes on here, to the same answer, and each is counted."""
    expected = await embedded()
    async with work(process.address) as at:
        with patience():
            replies = [asyncio.ensure_future(at.mesh.dispatch(ask())) for _ in range(requests)]
            await at.midway(requests)
            sessions = at.sessions
            process.send(signal.SIGKILL)
            await until(lambda: all(session.mode is FELL_BACK for session in sessions), "the fallbacks")
        at.go.set()
        for heard in await asyncio.gather(*replies):
            assert_fell_back(heard)
            assert told(heard) == expected
        await at.gone(requests)


@pytest.mark.parametrize("requests", [1, 20])
async def test_stopped_in_mid_request(process: Process, requests: int) -> None:
    """A process that is stopped breaks no connection; its silence is enough."""
    expected = await embedded()
    async with work(process.address) as at:
        with patience():
            replies = [asyncio.ensure_future(at.mesh.dispatch(ask())) for _ in range(requests)]
            await at.midway(requests)
        process.send(signal.SIGSTOP)
        at.go.set()
        for heard in await asyncio.gather(*replies):
            assert_fell_back(heard)
            assert told(heard) == expected
        await at.gone(requests)
    process.send(signal.SIGCONT)


async def test_stopped_before_the_request(process: Process) -> None:
    """The connection is there and takes what is sent, but nobody reads it."""
    expected = await embedded()
    async with work(process.address) as at:
        await until(at.remote.channel.ready, "the channel to connect")
        process.send(signal.SIGSTOP)
        at.go.set()
        heard = await at.mesh.dispatch(ask())
        assert_fell_back(heard)
        assert told(heard) == expected
        await at.gone(1)
    process.send(signal.SIGCONT)


async def test_slowed_in_mid_request(process: Process, socket: Path) -> None:
    """Answers that are on their way for too long are as good as none; those that arrive in the end change nothing."""
    expected = await embedded()
    cable = Cable(socket)
    assert process.address == f"unix:{socket}"
    async with work(cable) as at:
        with patience():
            reply = asyncio.ensure_future(at.mesh.dispatch(ask()))
            await at.midway()
        cable.back.clear()
        at.go.set()
        heard = await reply
        assert_fell_back(heard)
        assert told(heard) == expected
        cable.back.set()
        await at.gone(1)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_deadline_holds_without_the_aggregator(process: Process, fault: signal.Signals) -> None:
    """A worker hangs as well: the request ends at its stop, with what there is, before its caller's own deadline has passed."""
    async with work(process.address) as at:
        with patience():
            await at.remote.channel.wait_ready(20)
            reply = asyncio.ensure_future(at.mesh.dispatch(ask("hangs"), within=4))
            await until(lambda: len(at.sessions) == 1, "the stream to begin")
        process.send(fault)
        heard = await reply
        assert_fell_back(heard)
        assert json.loads(heard.response.result.json) == {"early": {"country": "DE", "hits": []}}
        assert (heard.report.completed_by, heard.row("hangs").state) == (CompletedBy.HARD_TIMEOUT, BranchState.TIMED_OUT)
        await at.gone(1)
    process.send(signal.SIGCONT)


async def test_dead_from_the_start_and_there_later(socket: Path) -> None:
    """Requests are merged here while there is no aggregator, there when it has come, here when it dies, and there again."""
    expected = await embedded()
    async with work(f"unix:{socket}") as at, asyncio.timeout(60):
        at.go.set()
        fallbacks = 0
        for _ in range(2):
            for _ in range(3):
                heard = await at.mesh.dispatch(ask())
                assert_fell_back(heard)
                assert told(heard) == expected
                fallbacks += 1
            process = Process(f"unix:{socket}", "--drain", "5")
            try:
                await until(at.remote.channel.ready, "the channel to notice")
                with patience():
                    for _ in range(3):
                        heard = await at.mesh.dispatch(ask())
                        assert heard.report.aggregator_mode == REMOTE
                        assert told(heard) == expected
            finally:
                process.destroy()
            await at.gone(fallbacks)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_snapshots_survive(process: Process, fault: signal.Signals) -> None:
    """A stream of snapshots goes on: each adds to the one before, and the last of them is the result."""
    expected = await embedded()
    async with work(process.address) as at:
        with patience():
            stream = asyncio.ensure_future(at.mesh.stream(ask(), emit=EmitMode.SNAPSHOT))
            await at.midway()
        process.send(fault)
        at.go.set()
        heard = await stream
        assert_fell_back(heard)
        assert told(heard) == expected
        assert [event.seq for event in heard.events] == list(range(1, len(heard.events) + 1))
        *shown, last = heard.events
        assert last.HasField("final")
        assert shown[-1].snapshot.json == heard.response.result.json
        assert [bool(event.snapshot.json) for event in shown] == [True] * len(shown)
        counts = [event.coverage.succeeded for event in heard.events]
        assert counts == sorted(counts)
        assert counts[-1] == 3
        await at.gone(1)
    process.send(signal.SIGCONT)


async def test_a_caller_that_goes_while_the_aggregator_is_stopped(process: Process) -> None:
    """Its stream is cancelled although nobody answers the cancel; no fallback is made for somebody who is gone."""
    async with work(process.address) as at:
        with patience():
            reply = asyncio.ensure_future(at.mesh.dispatch(ask()))
            await at.midway()
            process.send(signal.SIGSTOP)
            reply.cancel()
            await asyncio.wait((reply,))
            await at.gone(0)
    process.send(signal.SIGCONT)


async def test_a_dispatcher_that_stops_while_the_aggregator_is_stopped(process: Process) -> None:
    """Draining waits for the request, which falls back and is answered, and then for nothing else."""
    expected = await embedded()
    async with work(process.address) as at:
        with patience():
            reply = asyncio.ensure_future(at.mesh.dispatch(ask()))
            await at.midway()
        process.send(signal.SIGSTOP)
        stopping = asyncio.ensure_future(at.mesh.dispatcher.stop())
        await asyncio.wait((stopping,), timeout=0)
        at.go.set()
        heard = await reply
        assert_fell_back(heard)
        assert told(heard) == expected
        async with asyncio.timeout(20):
            await stopping
        assert at.remote.running == 0
    process.send(signal.SIGCONT)
