"""What a caller of DispatchStream sees while its request runs, with the merge in this process and in the Aggregator service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, EmitMode
from fanmesh.transport.port import ServerCall
from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import Worker, worker
from tests.kit.calls import PATIENCE, ask
from tests.kit.mesh import Mesh, Raw, plan, running
from tests.kit.roles import Gated, echo, fails, part, says

pytestmark = pytest.mark.asyncio

Event = dispatcher_pb2.DispatchStreamResponse

LARGE = {"limits": {"branch": "64MiB"}}

anywhere = pytest.mark.parametrize("remote", [False, True], ids=["embedded", "remote"])


def asked(emit: EmitMode, min_interval: float = 0.0) -> bytes:
    """A request for a stream; `min_interval` in seconds."""
    out = dispatcher_pb2.DispatchStreamRequest(request=ask(), emit=int(emit))  # type: ignore[arg-type]  # a number
    out.min_interval.FromMilliseconds(int(min_interval * 1000))
    return out.SerializeToString()


def shown(event: Event) -> Any:
    """The snapshot in an event."""
    return json.loads(event.snapshot.json)


async def events_of(mesh: Mesh, request: bytes) -> AsyncIterator[Event]:
    """The events of a stream, as they come."""
    async with asyncio.timeout(PATIENCE), aclosing(mesh.open(request)) as parts:
        async for raw in parts:
            yield Event.FromString(raw)


def counting(count: int, size: int) -> tuple[Raw, asyncio.Event]:
    """A stream of `count` parts of `size` bytes, each the whole so far; the event says that all have been taken."""
    done = asyncio.Event()

    async def stream(_: bytes, __: ServerCall) -> AsyncIterator[bytes]:
        for number in range(count):
            yield part(json.dumps({"n": number, "x": "x" * size}), replace=True).SerializeToString()
        done.set()

    return Raw(stream=stream), done


@anywhere
async def test_final_is_one_message(*, remote: bool) -> None:
    """FINAL, which is the default, sends nothing before the reply."""
    async with running({"w": echo}, {"p": plan("w")}, remote=remote) as mesh:
        for emit in (0, int(EmitMode.FINAL)):
            heard = await mesh.stream(ask(), emit=emit)
            assert [event.WhichOneof("event") for event in heard.events] == ["final"]
            assert heard.response == heard.events[0].final
            assert heard.trailer("fanmesh-complete") == "true"
            assert not heard.response.HasField("outcome")


@anywhere
async def test_snapshots_grow_to_the_result(*, remote: bool) -> None:
    """One after each answer, numbered from 1, with the coverage so far; the last one is the result."""
    late = Gated("late")
    workers = {"early": says("early"), "late": late.worker}
    async with running(workers, {"p": plan("early", "late", budget="10s")}, remote=remote) as mesh:
        seen = []
        async for event in events_of(mesh, asked(EmitMode.SNAPSHOT)):
            seen.append(event)
            late.open.set()
    assert [event.seq for event in seen] == [1, 2, 3]
    assert [shown(event) for event in seen[:2]] == [{"early": "early"}, {"early": "early", "late": "late"}]
    assert [event.coverage.ratio for event in seen] == [0.5, 1.0, 1.0]
    assert [event.coverage.succeeded for event in seen] == [1, 2, 2]
    assert json.loads(seen[-1].final.result.json) == shown(seen[1])
    assert seen[-1].coverage == seen[-1].final.report.coverage


@anywhere
async def test_the_last_snapshot_is_the_result(*, remote: bool) -> None:
    """Parts, endings, a failure and a default: whatever was shown on the way, the last snapshot is what comes in the end."""
    parts, _ = counting(5, 10)
    workers = {"parts": parts, "fails": fails(Code.INTERNAL), "echo": echo}
    branches = plan("parts", "fails", "echo", fails={"if_missing": {"use": {"n": -1}}}, merge="namespace")
    async with running(workers, {"p": branches}, remote=remote) as mesh:
        heard = await mesh.stream(ask(json='{"a":1}'), emit=int(EmitMode.SNAPSHOT))
    assert heard.events[-2].snapshot == heard.response.result
    assert json.loads(heard.response.result.json) == {"parts": {"n": 4, "x": "x" * 10}, "fails": {"n": -1}, "echo": {"a": 1}}
    assert [event.seq for event in heard.events] == list(range(1, len(heard.events) + 1))


@anywhere
async def test_a_pause_between_snapshots(*, remote: bool) -> None:
    """Within `min_interval` nothing is shown but the newest at its end; the last one never waits for it."""
    gates = [Gated(number) for number in range(4)]
    names = [f"g{number}" for number in range(4)]
    workers: dict[str, Worker[Any]] = {name: gate.worker for name, gate in zip(names, gates, strict=True)}
    async with running(workers, {"p": plan(*names, budget="10s")}, remote=remote) as mesh:
        gates[0].open.set()
        seen = []
        async for event in events_of(mesh, asked(EmitMode.SNAPSHOT, min_interval=60.0)):
            seen.append(event)
            for gate in gates:
                gate.open.set()
    assert [shown(event) for event in seen[:-1]] == [{"g0": 0}, {f"g{number}": number for number in range(4)}]


@anywhere
async def test_a_slow_reader_gets_the_newest(*, remote: bool) -> None:
    """A reader that looks away while a worker sends 200 versions of 256 KB finds the last ones, not a queue of all.

    Some lie in the buffers of the connection, which hold a few megabytes of the fifty.
    """
    parts, done = counting(200, 2**18)
    async with running({"w": parts}, {"p": plan("w", budget="20s", merge="first")}, remote=remote, server=LARGE) as mesh:
        seen = []
        async for event in events_of(mesh, asked(EmitMode.SNAPSHOT)):
            seen.append(event)
            if len(seen) == 1:
                await done.wait()
                await mesh.idle()
    numbers = [shown(event)["n"] for event in seen[:-1]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 100
    assert numbers[-1] == 199
    assert seen[-2].snapshot == seen[-1].final.result


@anywhere
async def test_branch_events(*, remote: bool) -> None:
    """A row when a branch is sent and one when it has ended, in the order in which it happened; then the reply."""
    late = Gated("late")
    workers = {"late": late.worker, "early": says("early"), "never": echo, "fails": fails(Code.NOT_FOUND)}
    branches = plan("late", "early", "never", "fails", budget="10s", never={"if": "false"})
    seen: list[Event] = []
    async with running(workers, {"p": branches}, remote=remote) as mesh:
        async for event in events_of(mesh, asked(EmitMode.BRANCH_EVENTS)):
            seen.append(event)
            if {("early", BranchState.SUCCEEDED), ("fails", BranchState.FAILED)} <= {
                (one.branch.branch, one.branch.state) for one in seen
            }:
                late.open.set()
    rows = [(event.branch.branch, event.branch.state) for event in seen[:-1]]
    assert sorted(rows[:3]) == [(name, BranchState.PENDING) for name in ("early", "fails", "late")]
    assert sorted(rows[3:5]) == [("early", BranchState.SUCCEEDED), ("fails", BranchState.FAILED)]
    assert rows[5:] == [("late", BranchState.SUCCEEDED)]
    assert [event.seq for event in seen] == list(range(1, 8))
    assert seen[-1].WhichOneof("event") == "final"
    final = {row.branch: row for row in seen[-1].final.report.branches}
    assert (final["never"].state, final["never"].reason) == (BranchState.SKIPPED, BranchReason.CONDITION)
    assert seen[5].branch.elapsed == final["late"].elapsed
    assert seen[-2].coverage == seen[-1].coverage


@anywhere
async def test_a_snapshot_that_cannot_be_sent_is_left_out(*, remote: bool) -> None:
    """Over the limit of a reply, or not to be written in the kind asked for: no snapshot, and the end says why."""
    late = Gated("x" * 2000)
    workers = {"small": says("small"), "late": late.worker}
    limits = {"limits": {"reply": "1KiB"}}
    async with running(workers, {"p": plan("small", "late", budget="10s")}, remote=remote, server=limits) as mesh:
        late.open.set()
        heard = await mesh.stream(ask(), emit=int(EmitMode.SNAPSHOT))
    assert heard.info.reason == "RESULT_TOO_LARGE"
    assert [shown(event) for event in heard.events[:-1]] in ([], [{"small": "small"}])


async def test_two_streams_do_not_mix() -> None:
    """Twenty streams at once through one dispatcher: each sees its own input only."""

    @worker("twice")
    async def twice(data: dict[str, int]) -> AsyncIterator[Any]:
        yield {"seen": [data["n"]]}
        yield {"seen": [data["n"]]}

    async with running({"w": twice, "v": echo}, {"p": plan("w", "v")}) as mesh:
        streams = [mesh.stream(ask(json=f'{{"n":{n}}}'), emit=int(EmitMode.SNAPSHOT)) for n in range(20)]
        for number, heard in enumerate(await asyncio.gather(*streams)):
            assert json.loads(heard.response.result.json) == {"w": {"seen": [number] * 2}, "v": {"n": number}}
            for event in heard.events[:-1]:
                assert {*shown(event).get("w", {}).get("seen", [number]), shown(event).get("v", {"n": number})["n"]} == {number}
