"""Streams under pressure, on real servers: readers that stand still, an aggregator that does, many parts, and hanging up.

Memory is that of a dispatcher in a process of its own. Its bounds are above what it takes, and far below what it would be if
anything queued. Everything else is counted.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aggregator.stream import Limits
from aggregator.wire import AggregatorService
from dispatcher.wire import aggregator_session
from dispatcher.wire.backlog import Backlog
from fanmesh.model.delta import Op, OpKind, fold
from fanmesh.model.states import AggregatorMode, EmitMode
from fanmesh.payload import to_value
from fanmesh.runtime.tracing import OFF
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import MIB
from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import Replace, Worker, serve, worker
from tests.kit.aggregators import Cable, Process, patience, until
from tests.kit.calls import Caller, ask
from tests.kit.mesh import plan, running, yielded
from tests.kit.system import Serving, System

pytestmark = pytest.mark.asyncio

Event = dispatcher_pb2.DispatchStreamResponse

LIMITS = {"part": "2MiB", "branch": "1GiB", "reply": "8MiB"}
PATIENCE = 60.0

modes = pytest.mark.parametrize("emit", [EmitMode.SNAPSHOT, EmitMode.DELTA], ids=["snapshots", "deltas"])
anywhere = pytest.mark.parametrize("remote", [False, True], ids=["embedded", "remote"])


def memory(pid: int, field: str) -> int:
    """Bytes of a process: `VmRSS` now, `VmHWM` at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def forget_peak(pid: int) -> None:
    """`VmHWM` counts from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", "utf-8")


async def events_of(caller: Caller, emit: EmitMode, **fields: Any) -> AsyncIterator[Event]:
    """The events of a stream, as they come."""
    request = dispatcher_pb2.DispatchStreamRequest(request=ask(**fields), emit=int(emit))  # type: ignore[arg-type]  # a number
    async with asyncio.timeout(PATIENCE), aclosing(caller.open(request.SerializeToString())) as parts:
        async for raw in parts:
            yield Event.FromString(raw)


def last_shown(events: Sequence[Event]) -> Any:
    """What a reader of these events holds: the last snapshot, or the fold of all deltas."""
    value: Any = None
    for event in events:
        match event.WhichOneof("event"):
            case "snapshot":
                value = to_value(event.snapshot)
            case "delta":
                value = fold(value, [Op(op.path, OpKind(op.kind), to_value(op.value)) for op in event.delta.ops])
    return value


@asynccontextmanager
async def apart(directory: Path, one: Worker[Any], plan: Any, *, remote: bool) -> AsyncIterator[Serving]:
    """A dispatcher in a process of its own, for a worker in this one; with `remote` the aggregator is a third."""
    server: dict[str, Any] = {"limits": LIMITS}
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(System(directory))
        served = await serve(one)
        stack.push_async_callback(served.stop)
        workers = {one.name: {"target": f"127.0.0.1:{served.port}", "effect": "read", "stream": True}}
        if remote:
            _, server["aggregator"] = await system.aggregator()
        yield await system.dispatcher({"workers": workers, "plans": {"p": plan}, "server": server}, patient=remote)


@pytest.mark.slow
@anywhere
@modes
async def test_a_reader_that_stands_still_costs_no_memory(tmp_path: Path, emit: EmitMode, *, remote: bool) -> None:
    """While 400 versions of 512 KB come, and nobody reads, only the newest is kept: of 200 MB never more than 64 are held."""
    done = asyncio.Event()

    @worker("w")
    async def versions(count: int) -> AsyncIterator[Any]:
        for number in range(count):
            yield Replace({"n": number, "x": f"{number:03}" + "x" * (MIB // 2)})
        done.set()

    async with apart(tmp_path, versions, plan("w", budget="50s"), remote=remote) as serving:
        [_ async for _ in events_of(serving.caller, emit, json="20")]  # buffers and arenas grow to their usual size
        done.clear()
        before = memory(serving.process.pid, "VmRSS")
        seen: list[Event] = []
        async for event in events_of(serving.caller, emit, json="400"):
            seen.append(event)
            if len(seen) == 1:
                await done.wait()
        grown = memory(serving.process.pid, "VmHWM") - before
    assert len(seen) < 200
    assert last_shown(seen) == to_value(seen[-1].final.result)
    assert last_shown(seen)["w"]["n"] == 399
    assert grown < 64 * MIB


BRANCHES, PARTS = 50, 200


@pytest.mark.slow
@anywhere
@modes
@pytest.mark.parametrize("stands", [False, True], ids=["reads", "stands still"])
async def test_ten_thousand_parts_of_fifty_branches(tmp_path: Path, emit: EmitMode, *, stands: bool, remote: bool) -> None:
    """All of them arrive, each in its place; the result of 1 MB costs no more than 64 MB of memory, whoever reads."""
    sent = 0
    all_sent = asyncio.Event()

    @worker("w")
    async def words(_: Any) -> AsyncIterator[Any]:
        nonlocal sent
        for number in range(PARTS):
            yield {"text": f"{number:06} and so on, " * 4, "items": [{"n": number}]}
            sent += 1
        if sent == BRANCHES * PARTS:
            all_sent.set()

    branches = {f"b{n}": {"worker": "w"} for n in range(BRANCHES)}
    async with apart(tmp_path, words, plan(*branches, budget="50s", **branches), remote=remote) as serving:
        before = memory(serving.process.pid, "VmRSS")
        seen: list[Event] = []
        async for event in events_of(serving.caller, emit):
            seen.append(event)
            if len(seen) == 1 and stands:
                await all_sent.wait()
        grown = memory(serving.process.pid, "VmHWM") - before
    text = "".join(f"{number:06} and so on, " * 4 for number in range(PARTS))
    result = to_value(seen[-1].final.result)
    assert result == {f"b{n}": {"text": text, "items": [{"n": number} for number in range(PARTS)]} for n in range(BRANCHES)}
    assert last_shown(seen) == result
    assert sent == BRANCHES * PARTS
    assert seen[-1].final.report.aggregator_mode == (AggregatorMode.REMOTE if remote else AggregatorMode.EMBEDDED)
    assert grown < 64 * MIB


@pytest.mark.slow
@anywhere
async def test_a_slow_reader_of_fifty_branches_costs_no_more_than_a_fast_one(tmp_path: Path, *, remote: bool) -> None:
    """10,000 parts, each the whole of its branch: 200 MB pass, the result is 1 MB, and of a branch one version is kept.

    The fast one comes first, and buffers and arenas grow to their usual size; the peak is then taken anew, and hardly higher.
    """
    sent = 0
    all_sent = asyncio.Event()

    @worker("w")
    async def versions(_: Any) -> AsyncIterator[Any]:
        nonlocal sent
        for number in range(PARTS):
            yield Replace({"n": number, "x": f"{number:03}" + "x" * 20_000})
            sent += 1
        if sent == BRANCHES * PARTS:
            all_sent.set()

    peaks = []
    branches = {f"b{n}": {"worker": "w"} for n in range(BRANCHES)}
    async with apart(tmp_path, versions, plan(*branches, budget="50s", **branches), remote=remote) as serving:
        for stands in (False, True):
            sent = 0
            all_sent.clear()
            forget_peak(serving.process.pid)
            before = memory(serving.process.pid, "VmRSS")
            seen: list[Event] = []
            async for event in events_of(serving.caller, EmitMode.DELTA):
                seen.append(event)
                if len(seen) == 1 and stands:
                    await all_sent.wait()
            peaks.append(memory(serving.process.pid, "VmHWM") - before)
            result = to_value(seen[-1].final.result)
            assert {name: value["n"] for name, value in result.items()} == dict.fromkeys(branches, PARTS - 1)
            assert last_shown(seen) == result
            assert sent == BRANCHES * PARTS
    fast, slow = peaks
    assert fast < 64 * MIB
    assert slow < 32 * MIB


async def test_an_aggregator_that_is_lost_while_the_reader_stands_still(tmp_path: Path) -> None:
    """The reader is told the whole anew when it looks again, and what it holds in the end is the result."""
    process = Process(f"unix:{tmp_path / 'aggregator.sock'}")
    lost, all_sent = asyncio.Event(), asyncio.Event()

    @worker("w")
    async def words(_: Any) -> AsyncIterator[Any]:
        for number in range(2 * PARTS):
            if number == PARTS:
                await lost.wait()
            yield {"text": f"{number:06} and so on, " * 40}
        all_sent.set()

    server = {"limits": LIMITS, "aggregator": process.address}
    seen: list[Event] = []
    try:
        with patience():
            async with running({"w": words}, {"p": plan("w", budget="100s")}, server=server) as mesh:
                async for event in events_of(mesh, EmitMode.DELTA):
                    seen.append(event)
                    if len(seen) == 2:
                        process.send(signal.SIGKILL)
                        lost.set()
                        await all_sent.wait()
    finally:
        process.destroy()
    resets = [at for at, event in enumerate(seen) if [op.kind for op in event.delta.ops] == [OpKind.RESET]]
    assert resets[0] == 0
    assert len(resets) == 2
    text = "".join(f"{number:06} and so on, " * 40 for number in range(2 * PARTS))
    assert last_shown(seen) == to_value(seen[-1].final.result) == {"w": {"text": text}}
    assert seen[-1].final.report.aggregator_mode == AggregatorMode.FELL_BACK


async def stalled(count: Callable[[], int]) -> int:
    """The count when it has stood still for 300 turns of the loop, sockets included."""
    last, still = count(), 0
    while still < 300:
        await yielded()
        still = still + 1 if count() == last and last else 0
        last = count()
    return last


async def test_a_full_queue_stops_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator that takes nothing: the worker of an APPEND stream fills the buffers on its way, and then must wait.

    They are a queue of 1 MiB and those of two connections; what the log may hold is lifted, or it would end this first. Once
    the aggregator takes again, everything arrives.
    """
    size, count = 64_000, 640
    sent, ended = 0, asyncio.Event()

    @worker("w")
    async def hits(_: Any) -> AsyncIterator[Any]:
        nonlocal sent
        for number in range(count):
            yield [{"id": number, "score": number, "pad": "x" * size}]
            sent += 1
        ended.set()

    monkeypatch.setattr(aggregator_session, "Backlog", partial(Backlog, log_limit=256 * MIB))
    socket = tmp_path / "aggregator.sock"
    aggregator = GrpcTransport().server(f"unix:{socket}", AggregatorService(OFF, Limits(log=256 * MIB)).routes())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(aggregator.stop)
        await aggregator.start()
        cable = Cable(socket)
        server = {"limits": LIMITS, "aggregator": await cable.plug()}
        stack.push_async_callback(cable.unplug)
        stack.enter_context(patience())
        one = plan("w", budget="100s", merge=TOP)
        mesh = await stack.enter_async_context(running({"w": hits}, {"p": one}, server=server))
        cable.forth.clear()
        call = asyncio.ensure_future(mesh.dispatch(ask()))
        held = await stalled(lambda: sent)
        assert not ended.is_set()
        cable.forth.set()
        heard = await call
    assert heard.report.aggregator_mode == AggregatorMode.REMOTE
    value: Any = to_value(heard.response.result)
    assert [item["key"] for item in value] == list(range(count - 1, count - 6, -1))
    assert sent == count
    assert MIB // size < held < count // 2


TOP = {"top_k": {"k": 5, "keep": ["id"]}}


@anywhere
@modes
async def test_a_reader_that_hangs_up(emit: EmitMode, *, remote: bool) -> None:
    """After it has stood still for a while: every worker's stream is closed, and nothing is left of the request."""
    streams = 20
    closed: list[int] = []
    sent = 0

    @worker("w")
    async def endless(_: Any) -> AsyncIterator[Any]:
        nonlocal sent
        try:
            while True:
                yield Replace({"n": sent, "x": "x" * 50_000})
                sent += 1
        finally:
            closed.append(sent)

    branches = {f"b{n}": {"worker": "w"} for n in range(streams)}
    one = plan(*branches, budget="100s", **branches)
    with patience():
        async with running({"w": endless}, {"p": one}, server={"limits": LIMITS}, remote=remote) as mesh:
            async with aclosing(events_of(mesh, emit)) as events:
                await anext(events)
                await until(lambda: sent > 1000, "the workers to send")
                assert not closed
                assert mesh.dispatcher.measures.in_flight == 1
            await until(lambda: len(closed) == streams, "the workers to hear of it")
            await mesh.idle()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
