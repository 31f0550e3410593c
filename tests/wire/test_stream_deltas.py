"""Streams of deltas on real servers: folded they are the result, whatever merges, wherever that is, and however one reads."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest

from aggregator.engine.merges import merge_schema
from fanmesh.client import AsyncClient, Client, Final, Snapshot
from fanmesh.model.delta import LIMIT, Op, OpKind, fold
from fanmesh.model.fault import Code
from fanmesh.model.merge import Answer
from fanmesh.model.states import AggregatorMode, EmitMode
from fanmesh.model.values import JsonValue
from fanmesh.payload import Kind, to_value
from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import Replace, Worker, worker
from tests.kit.aggregators import Process, patience
from tests.kit.calls import PATIENCE, ask, struct
from tests.kit.mesh import Mesh, plan, running, yielded
from tests.kit.roles import Gated, fails, says

pytestmark = pytest.mark.asyncio

Event = dispatcher_pb2.DispatchStreamResponse

SET, APPEND, REMOVE, RESET = OpKind.SET, OpKind.APPEND, OpKind.REMOVE, OpKind.RESET

anywhere = pytest.mark.parametrize("remote", [False, True], ids=["embedded", "remote"])


def asked(min_interval: float = 0.0, **fields: Any) -> bytes:
    """A request for deltas; `min_interval` in seconds."""
    out = dispatcher_pb2.DispatchStreamRequest(request=ask(**fields), emit=int(EmitMode.DELTA))  # type: ignore[arg-type]  # a number
    out.min_interval.FromMilliseconds(int(min_interval * 1000))
    return out.SerializeToString()


async def events_of(mesh: Mesh, request: bytes) -> AsyncIterator[Event]:
    """The events of a stream, as they come."""
    async with asyncio.timeout(2 * PATIENCE), aclosing(mesh.open(request)) as parts:
        async for raw in parts:
            yield Event.FromString(raw)


def kinds(event: Event) -> list[OpKind]:
    """The kinds of the operations in it."""
    return [OpKind(op.kind) for op in event.delta.ops]


def folded(events: Sequence[Event]) -> Any:
    """What the deltas among these events add up to; the first of them must be the whole."""
    deltas = [event for event in events if event.WhichOneof("event") == "delta"]
    assert kinds(deltas[0]) == [RESET]
    value: Any = None
    for event in deltas:
        value = fold(value, [Op(op.path, OpKind(op.kind), to_value(op.value)) for op in event.delta.ops])
    return value


def bits(value: Any) -> bytes:
    """A value to the last bit."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def result(event: Event) -> Any:
    """The result in the last event."""
    return to_value(event.final.result)


def tells(name: str, parts: Sequence[Any]) -> Worker[Any]:
    """Streams these parts, with a turn for everybody else between two."""

    @worker(name)
    async def stream(_: Any) -> AsyncIterator[Any]:
        for part in parts:
            yield part
            await yielded()

    return stream


def together(answers: Sequence[Answer], _options: JsonValue) -> object:
    """What `custom` calls: the answers as a list, the newest first."""
    return [answer.value for answer in reversed(answers)]


MAPS = [{"t": "one ", "l": [1], "n": {"x": 1}}, {"t": "two", "l": [2]}, {"m/n": {"~": None}}], [{"t": "b"}, {"l": [{"k": 1.5}]}]
LISTS = [[1, {"a": "x"}], [2.5], [None, True]], [[1], [{"a": "y"}, "z"]]
HITS = [[{"id": "x", "score": 2}], [{"id": "y", "score": 5.5}]], [[{"id": "y", "score": 1}], [{"id": "z", "score": 9}]]
TEXTS = ["Hel", "lo ", "there"], [", wor", "ld"]
NUMBERS = [Replace(1), Replace(2.5), Replace(3)], [Replace(4), Replace(10**17)]
WORDS = [Replace("yes"), Replace("no")], [Replace("no")]

MERGES: dict[str, tuple[Any, Any]] = {
    "collect": (None, MAPS),
    "first": (None, MAPS),
    "priority": (["b"], LISTS),
    "namespace": ({"a": "x", "b": "x"}, MAPS),
    "overlay": (None, MAPS),
    "deep_merge": ({"l": "union"}, MAPS),
    "concat": (None, LISTS),
    "union": (None, LISTS),
    "best_confidence": (None, TEXTS),
    "join_by_key": ({"fields": {"score": "sum"}}, HITS),
    "top_k": ({"k": 3}, HITS),
    "rrf": ({"k": 3}, HITS),
    "vote": (None, WORDS),
    "numeric": ({"rule": "sum", "stdev": True}, NUMBERS),
    "concat_stream": ({"separator": "|"}, TEXTS),
    "custom": ({"call": "tests.wire.test_stream_deltas:together"}, TEXTS),
    "synthesize": ({"worker": "synthesize_a", "min_time": "100ms"}, TEXTS),
}


async def test_no_merge_is_forgotten() -> None:
    """Each kind that can be configured is in the table below."""
    schema: Any = merge_schema()
    assert set(MERGES) == {*schema["anyOf"][0]["enum"], *schema["anyOf"][1]["properties"]}


@anywhere
async def test_every_merge(*, remote: bool) -> None:
    """The first message is the whole, the deltas fold to the result, and each is numbered and says the coverage."""
    plans: dict[str, Any] = {}
    workers: dict[str, Any] = {}
    for kind, (options, (a, b)) in MERGES.items():
        workers |= {f"{kind}_a": tells("a", a), f"{kind}_b": tells("b", b)}
        branches: dict[str, Any] = {"a": {"worker": f"{kind}_a"}, "b": {"worker": f"{kind}_b"}}
        merge = kind if options is None else {kind: options}
        plans[kind] = plan("a", "b", budget="20s", merge_reserve="5s", merge=merge, **branches)
    several = 0
    async with running(workers, plans, remote=remote) as mesh:
        for kind in MERGES:
            if kind == "custom" and remote:
                continue  # a function never travels
            heard = await mesh.stream(asked(plan=kind))
            assert heard.code is Code.OK, (kind, heard.message)
            assert heard.report.aggregator_mode == (AggregatorMode.REMOTE if remote else AggregatorMode.EMBEDDED)
            assert bits(folded(heard.events)) == bits(result(heard.events[-1])), kind
            assert [event.seq for event in heard.events] == list(range(1, len(heard.events) + 1))
            assert heard.events[-2].coverage == heard.events[-1].coverage
            several += len(heard.events) > 3
    assert several > len(MERGES) / 2


class Paced:
    """A streaming worker that sends its next part when it is told to; `ends` lets it end."""

    def __init__(self, name: str, parts: Sequence[Any]) -> None:
        self._go = asyncio.Semaphore(0)

        @worker(name)
        async def stream(_: Any) -> AsyncIterator[Any]:
            for part in parts:
                await self._go.acquire()
                yield part
            await self._go.acquire()

        self.worker: Worker[Any] = stream

    def go(self) -> None:
        """One part more, or the end."""
        self._go.release()


@anywhere
async def test_what_grows_is_told_once(*, remote: bool) -> None:
    """Each piece of a text crosses the wire once: a stream of deltas is as long as its result, not as all its snapshots."""
    pieces = [f"{n:03}" * 300 for n in range(40)]
    paced = Paced("w", [{"text": piece, "n": [at]} for at, piece in enumerate(pieces)])
    async with running({"w": paced.worker}, {"p": plan("w", budget="30s")}, remote=remote) as mesh:
        paced.go()
        seen, sent = [], 0
        async for event in events_of(mesh, asked()):
            seen.append(event)
            sent += event.delta.ByteSize()
            paced.go()
    assert [kinds(event) for event in seen[1:-2]] == [[APPEND, APPEND]] * 39
    assert [[(op.path, op.value.json) for op in event.delta.ops] for event in seen[1:3]] == [
        [("/w/text", json.dumps(pieces[at])), ("/w/n", f"[{at}]")] for at in (1, 2)
    ]
    assert kinds(seen[-2]) == []  # the branch has ended: only the coverage is new
    assert [event.coverage.ratio for event in seen[-3:]] == [0.0, 1.0, 1.0]
    assert folded(seen) == result(seen[-1]) == {"w": {"text": "".join(pieces), "n": list(range(40))}}
    assert sent < 1.2 * len(seen[-1].final.result.json)


@anywhere
async def test_a_stream_that_starts_over(*, remote: bool) -> None:
    """REPLACE may take back what was told: keys are removed, values set; what grew from there on is added again."""
    parts = [{"a": "x" * 50, "b": 1}, Replace({"a": "y" * 50}), {"a": "z"}, Replace("x" * 50)]
    paced = Paced("w", parts)
    workers = {"w": paced.worker, "fixed": says("f" * 500)}
    async with running(workers, {"p": plan("w", "fixed", budget="30s")}, remote=remote) as mesh:
        seen: list[Event] = []
        async for event in events_of(mesh, asked()):
            seen.append(event)
            if "fixed" in folded(seen):  # it has answered, or this is the end
                paced.go()
    told = [(op.path, OpKind(op.kind)) for event in seen[1:] for op in event.delta.ops if "w" in op.path]
    assert told == [("/w", SET), ("/w/b", REMOVE), ("/w/a", SET), ("/w/a", APPEND), ("/w", SET)]
    assert folded(seen) == result(seen[-1])


@anywhere
async def test_a_pause_between_deltas(*, remote: bool) -> None:
    """Within `min_interval` nothing is told; at the end all that is new, at once. What is over 1 MiB is told as the whole."""
    for size, kind in ((LIMIT // 2, SET), (LIMIT + LIMIT // 2, RESET)):
        early, late, more = Gated("e" * 2 * LIMIT), Gated("l" * size), Gated(None)
        workers = {"early": early.worker, "late": late.worker, "more": more.worker}
        early.open.set()
        async with running(workers, {"p": plan(*workers, budget="30s")}, remote=remote, server=LARGE) as mesh:
            seen = []
            async for event in events_of(mesh, asked(min_interval=60.0)):
                seen.append(event)
                late.open.set()
                more.open.set()
        assert [kinds(event)[:1] for event in seen] == [[RESET], [kind], []]
        assert folded(seen) == result(seen[-1])


LARGE = {"limits": {"part": "4MiB", "branch": "64MiB", "reply": "8MiB"}}


@anywhere
async def test_a_slow_reader_is_told_once_about_many_changes(*, remote: bool) -> None:
    """A reader that looks away while 200 versions of 256 KB come gets some that lay in buffers, then one delta to the last."""
    done = asyncio.Event()

    @worker("w")
    async def versions(_: Any) -> AsyncIterator[Any]:
        for number in range(200):
            yield Replace({"n": number, "x": f"{number:03}" + "x" * 2**18})
        done.set()

    workers = {"fixed": says("f" * 300_000), "w": versions}
    async with running(workers, {"p": plan(*workers, budget="20s")}, remote=remote, server=LARGE) as mesh:
        seen = []
        async for event in events_of(mesh, asked()):
            seen.append(event)
            if len(seen) == 1:
                await done.wait()
                await mesh.idle()
    assert len(seen) < 100
    assert kinds(seen[-2])
    assert folded(seen) == result(seen[-1])
    assert result(seen[-1])["w"]["n"] == 199


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """An aggregator that may be hurt."""
    process = Process(f"unix:{tmp_path / 'aggregator.sock'}")
    yield process
    process.destroy()


async def test_a_reset_after_the_aggregator_was_lost(process: Process) -> None:
    """The log is folded here: the caller is told the whole anew, once, and then changes again."""
    paced = Paced("w", [{"text": f"{n:05}" * 100} for n in range(6)])
    server = {"aggregator": process.address}
    workers, plans = {"w": paced.worker}, {"p": plan("w", budget="60s")}
    seen: list[Event] = []
    with patience():
        async with running(workers, plans, server=server) as mesh:
            paced.go()
            async for event in events_of(mesh, asked()):
                seen.append(event)
                if len(seen) == 3:
                    process.send(signal.SIGKILL)
                else:
                    paced.go()
    assert [kinds(event) for event in seen[:5]] == [[RESET], [APPEND], [APPEND], [RESET], [APPEND]]
    assert [kinds(event) for event in seen].count([RESET]) == 2
    assert folded(seen[:3]) == folded(seen[:4])
    assert folded(seen) == result(seen[-1]) == {"w": {"text": "".join(f"{n:05}" * 100 for n in range(6))}}
    assert seen[-1].final.report.aggregator_mode == AggregatorMode.FELL_BACK


@anywhere
async def test_a_request_that_fails_ends_as_without_deltas(*, remote: bool) -> None:
    """Some deltas, then a last message without a result and the status; what was told is not taken back."""
    late = Gated("late")
    workers = {"early": says("early"), "late": late.worker, "fails": fails(Code.INTERNAL)}
    branches = plan("early", "late", "fails", budget="10s", fails={"required": True})
    async with running(workers, {"p": branches}, remote=remote) as mesh:
        heard = await mesh.stream(asked())
    assert (heard.code, heard.info.reason) == (Code.UNAVAILABLE, "COMPLETION_UNREACHABLE")
    assert not heard.response.HasField("result")
    assert all(event.WhichOneof("event") == "delta" for event in heard.events[:-1])


@anywhere
async def test_a_result_that_is_too_large(*, remote: bool) -> None:
    """A delta that would make the result larger than a reply may be is left out, and the end says why."""
    late = Gated("x" * 2000)
    workers = {"small": says("small"), "late": late.worker}
    limits = {"limits": {"reply": "1KiB"}}
    async with running(workers, {"p": plan("small", "late", budget="10s")}, remote=remote, server=limits) as mesh:
        heard = asyncio.ensure_future(mesh.stream(asked()))
        await late.all_called(1)
        late.open.set()
        seen = (await heard).events
    assert (await heard).info.reason == "RESULT_TOO_LARGE"
    assert len(seen) == 1 or folded(seen) == {"small": "small"}


async def test_an_answer_in_a_struct() -> None:
    """With a Struct as input maps come as Structs, and everything else as JSON; folded they are the result."""
    paced = Paced("w", [{"m": {"n": 1}, "t": "x" * 60}, {"t": "y", "k": {"f": 2.5}}, {"t": "z"}])
    async with running({"w": paced.worker}, {"p": plan("w", budget="20s")}) as mesh:
        paced.go()
        seen = []
        async for event in events_of(mesh, asked(data=struct(a=1))):
            seen.append(event)
            paced.go()
    told = {(op.path, OpKind(op.kind), op.value.WhichOneof("body")) for event in seen for op in event.delta.ops}
    assert told == {("", RESET, "data"), ("/w/t", APPEND, "json"), ("/w/k", SET, "data")}
    assert seen[-1].final.result.WhichOneof("body") == Kind.DATA.name.lower()
    assert folded(seen) == result(seen[-1]) == {"w": {"m": {"n": 1}, "t": "x" * 60 + "yz", "k": {"f": 2.5}}}


def _blocking(target: str) -> list[Any]:
    with Client(target) as client:
        return list(client.stream("p", {}, emit=EmitMode.DELTA, timeout=PATIENCE))


async def _awaiting(target: str) -> list[Any]:
    async with AsyncClient(target) as client:
        return [update async for update in client.stream("p", {}, emit=EmitMode.DELTA, timeout=PATIENCE)]


@anywhere
@pytest.mark.parametrize("blocking", [False, True])
async def test_python_callers_see_the_result_so_far(*, remote: bool, blocking: bool) -> None:
    """Both clients put the deltas together: snapshots, with the operations that made them; the last one is the result."""
    parts = [{"t": f"{n:03}" * 20, "l": [n]} for n in range(20)]
    async with running({"w": tells("w", parts)}, {"p": plan("w", budget="20s")}, remote=remote) as mesh:
        target = f"127.0.0.1:{mesh.dispatcher.port}"
        updates = await (asyncio.to_thread(_blocking, target) if blocking else _awaiting(target))
    *snapshots, final = updates
    assert isinstance(final, Final)
    assert (
        snapshots[-1].value
        == final.result.value
        == {"w": {"t": "".join(f"{n:03}" * 20 for n in range(20)), "l": list(range(20))}}
    )
    value = None
    for snapshot in snapshots:
        assert isinstance(snapshot, Snapshot)
        value = fold(value, snapshot.ops)
        assert value == snapshot.value
    assert snapshots[0].ops[0].kind is RESET
