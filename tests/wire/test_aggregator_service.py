"""The Aggregator service seen from its wire: what it refuses, what it sends and when, how it lets go and how it ends."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2

from aggregator import wire
from aggregator.stream import DEFAULTS, Limits
from aggregator.wire import AggregatorService
from fanmesh.eventlog import AGGREGATE, Ack, decode_answer, encode_event
from fanmesh.model.events import Effect, End, Event, PartArrived, Result, Start, Update, Verdict
from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchState, EmitMode, IfMissing
from fanmesh.model.times import MS
from fanmesh.model.values import JsonValue
from fanmesh.runtime.tracing import OFF, Recorder
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Duplex, RpcError
from fanmesh.transport.status import find, read
from fanmesh.v1 import aggregator_pb2 as pb
from tests.kit.aggregators import Process, Told, dialled, patience, until
from tests.kit.logs import Story, rule
from tests.kit.recording import Recording

HEALTH = "/grpc.health.v1.Health/Check"


@asynccontextmanager
async def served(
    recorder: Recorder = OFF, limits: Limits = DEFAULTS, deadline: float | None = 30
) -> AsyncIterator[tuple[AggregatorService, Duplex]]:
    """A service in this process, and one stream to it."""
    transport = GrpcTransport()
    service = AggregatorService(recorder, limits)
    server = transport.server("127.0.0.1:0", service.routes())
    await server.start()
    channel = transport.connect(f"127.0.0.1:{server.port}")
    duplex = channel.duplex(AGGREGATE, timeout=deadline)
    try:
        yield service, duplex
    finally:
        await duplex.aclose()
        await channel.close()
        await server.stop()


def story(**options: object) -> Story:
    """One branch is sent."""
    story = Story("a", "b", stop=60_000, **options)  # type: ignore[arg-type]  # passed on
    story.start("a", "b")
    return story


async def answers(duplex: Duplex) -> list[Effect | Ack]:
    """Everything up to the end of the stream."""
    found = []
    while (raw := await duplex.read()) is not None:
        found.append(decode_answer(raw))
    return found


def bad(message: pb.AggregateRequest) -> list[bytes]:
    """One message as a log."""
    return [message.SerializeToString()]


def asking(predicate: str) -> list[bytes]:
    """A start with a rule that asks this."""
    message = pb.AggregateRequest.FromString(encode_event(story().log[0]))
    message.start.completion.until.add(predicate=True)
    message.start.predicate = predicate
    return bad(message)


def log(*more: Event) -> list[bytes]:
    """A good beginning, and these."""
    return [encode_event(event) for event in (*story().log, *more)]


REFUSED: list[tuple[str, Callable[[], list[bytes]], str, str]] = [
    ("rubbish", lambda: [b"\xff\xff"], "", "not an AggregateRequest"),
    ("nothing", list, "", "the log ended before the request was complete"),
    ("no start", lambda: log()[1:2], "", "does not begin with a start"),
    ("two starts", lambda: log(Event(9, 0, story().log[0].what)), "", "second start"),
    ("unknown branch", lambda: log(Event(9, 0, End("x", 0, BranchState.SUCCEEDED))), "", "unknown branch 'x'"),
    (
        "time goes back",
        lambda: log(Event(9, 9, PartArrived("a", 0, 0, False, 1)), Event(10, 8, End("a", 0, BranchState.FAILED))),
        "",
        "time goes back",
    ),
    ("ended early", log, "", "the log ended before the request was complete"),
    ("no predicate", lambda: asking(""), "start.predicate", "is not set"),
    ("predicate", lambda: asking("size(mergd) > 1"), "", "predicate: unknown name 'mergd'; did you mean 'merged'?"),
    ("delta", lambda: [encode_event(story(emit=EmitMode.DELTA).log[0])], "start.emit", "DELTA is not supported"),
    ("options", lambda: [encode_event(merging("sythesize"))], "", "no merge 'sythesize'"),
]


def merging(kind: str) -> Event:
    """A start that asks for that merge."""
    first = story().log[0]
    assert isinstance(first.what, Start)
    return first._replace(what=first.what._replace(merge=type(first.what.merge)(kind)))


@pytest.mark.asyncio
@pytest.mark.parametrize(("made", "field", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_a_bad_log_is_refused_by_name(made: Callable[[], list[bytes]], field: str, why: str) -> None:
    """INVALID_ARGUMENT with INPUT_INVALID, the field where there is one, and a message that says what is wrong."""
    async with served() as (service, duplex):
        for message in made():
            await duplex.write(message)
        if "ended" in why:
            await duplex.half_close()
        with pytest.raises(RpcError) as caught:
            await answers(duplex)
        info = find(read(caught.value.trailers), ErrorInfo)
        assert info is not None
        assert (caught.value.code, info.reason, info.metadata.get("field", "")) == (
            Code.INVALID_ARGUMENT,
            "INPUT_INVALID",
            field,
        )
        assert why in caught.value.message
        await until(lambda: not service.streams, "the stream to be gone")


@pytest.mark.asyncio
async def test_a_log_over_the_limit_is_refused() -> None:
    """What one stream may hold is bounded in bytes; parts that were replaced do not count."""
    async with served(limits=Limits(log=5000)) as (_, duplex):
        parts = [PartArrived("a", 0, number, number < 20, "x" * 1000) for number in range(24)]
        for message in (*log(), *(encode_event(Event(at, 0, part)) for at, part in enumerate(parts, 4))):
            await duplex.write(message)
        with pytest.raises(RpcError) as caught:
            await answers(duplex)
        info = find(read(caught.value.trailers), ErrorInfo)
        assert info is not None
        assert (caught.value.code, info.reason) == (Code.RESOURCE_EXHAUSTED, "LOG_TOO_LARGE")


@pytest.mark.asyncio
async def test_a_result_over_the_limit_is_refused() -> None:
    """The dispatcher could not read it, and is told so at once."""
    async with served(limits=Limits(reply=500)) as (_, duplex):
        for message in log(
            *[Event(9 + at, 0, End(name, 0, BranchState.SUCCEEDED, value="x" * 400)) for at, name in enumerate("ab")]
        ):
            await duplex.write(message)
        with pytest.raises(RpcError) as caught:
            await answers(duplex)
        info = find(read(caught.value.trailers), ErrorInfo)
        assert info is not None
        assert (caught.value.code, info.reason) == (Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE")


@pytest.mark.asyncio
async def test_a_result_that_is_no_json_is_refused() -> None:
    """A value as deep as values may be is one level too deep inside of `collect`."""
    deep: JsonValue = 1
    for _ in range(100):
        deep = [deep]
    async with served() as (_, duplex):
        for message in log(
            *[Event(9 + at, 0, End(name, 0, BranchState.SUCCEEDED, value=deep)) for at, name in enumerate("ab")]
        ):
            await duplex.write(message)
        with pytest.raises(RpcError, match=r"the result cannot be written: a\[0\].*deeper than 100") as caught:
            await answers(duplex)
        assert caught.value.code is Code.FAILED_PRECONDITION


@pytest.mark.asyncio
async def test_a_stream_without_a_deadline_does_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else would end it, if its caller forgets to half-close."""
    monkeypatch.setattr(wire, "LONGEST", 0.05)
    async with served(deadline=None) as (service, duplex):
        with pytest.raises(RpcError, match="without a deadline") as caught:
            await answers(duplex)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        await until(lambda: not service.streams, "the stream to be gone")


@pytest.mark.asyncio
async def test_the_result_is_last_and_late_events_are_drained() -> None:
    """After the verdict anything may come until the half-close, and changes nothing; then the stream ends well."""
    given = story(completion=rule())
    given.ok("a", 1)
    given.ok("b", 2)
    async with served() as (service, duplex):
        for event in given.log:
            await duplex.write(encode_event(event))
        first = [decode_answer(raw) for raw in [await duplex.read(), await duplex.read()] if raw is not None]
        assert first == [given.verdict, given.result]
        for _ in range(100):
            await duplex.write(b"what nobody reads any more")
        await duplex.half_close()
        assert await answers(duplex) == []
        assert service.streams == 0


@pytest.mark.asyncio
async def test_events_are_acknowledged_without_an_answer() -> None:
    """A request that only waits is acknowledged all the same, with the newest number."""
    async with served() as (_, duplex):
        for message in log():
            await duplex.write(message)
        seen = 0
        while seen < 3:
            raw = await duplex.read()
            assert raw is not None
            answer = decode_answer(raw)
            assert isinstance(answer, Ack)
            assert answer.seq > seen
            seen = answer.seq
        assert seen == 3


@pytest.mark.asyncio
async def test_snapshots_keep_their_distance_and_the_last_one_is_the_result() -> None:
    """With an interval that is longer than the request there are two snapshots: the first, and the result."""
    given = story(emit=EmitMode.SNAPSHOT)
    for number in range(50):
        given.part("a", 1, f"{number} ", number)
    given.add(2, End("a", 0, BranchState.SUCCEEDED, streamed=True))
    given.ok("b", 3)
    first = given.log[0]
    assert isinstance(first.what, Start)
    slow = [first._replace(what=first.what._replace(min_interval=50_000 * MS)), *given.log[1:]]
    async with served() as (_, duplex):
        for event in slow:
            await duplex.write(encode_event(event))
        await duplex.half_close()
        told = [answer for answer in await answers(duplex) if not isinstance(answer, Ack)]
        updates = [answer.read()[0] for answer in told if isinstance(answer, Update)]
        assert 1 <= len(updates) <= 2
        assert updates[-1] == given.result.value
        assert [type(answer) for answer in told[-2:]] == [Verdict, Result]


@pytest.mark.asyncio
async def test_a_dispatcher_that_has_gone_frees_everything() -> None:
    """Its stream is cancelled in the middle: no stream and no task is left."""
    async with served() as (service, duplex):
        for message in log():
            await duplex.write(message)
        await until(lambda: service.streams == 1, "the stream to be there")
        await duplex.aclose()
        await until(lambda: service.streams == 0, "the stream to be freed")
        await until(
            lambda: not any("AggregatorService" in repr(task.get_coro()) for task in asyncio.all_tasks()), "its tasks to end"
        )


@pytest.mark.asyncio
async def test_a_dispatcher_that_does_not_read_is_read_from() -> None:
    """Snapshots that nobody takes do not stop the fold, and do not pile up: the newest one waits, and the result."""
    given = Story("a", stop=60_000, emit=EmitMode.SNAPSHOT)
    given.start("a")
    for number in range(300):
        given.part("a", 1, "x" * 5000, number)
    given.add(2, End("a", 0, BranchState.SUCCEEDED, streamed=True))
    async with served() as (_, duplex):
        for event in given.log:
            await duplex.write(encode_event(event))
        await duplex.half_close()
        told = await answers(duplex)
        assert told[-1] == given.result
        assert len(told) < 300


@pytest.mark.asyncio
async def test_the_span_links_to_every_merged_attempt_and_to_no_other() -> None:
    """Child of the request; a default that stands in for a failed attempt is no link to that attempt."""
    recording = Recording()
    first = story(completion=rule()).log[0]
    assert isinstance(first.what, Start)
    nodes = (first.what.nodes[0], first.what.nodes[1]._replace(if_missing=IfMissing.USE, default="d"))
    start = first.what._replace(nodes=nodes, traceparent="00-" + "0" * 31 + "1-" + "0" * 15 + "2-01")
    spans = [(9).to_bytes(8, "big"), (7).to_bytes(8, "big")]
    events = [
        first._replace(what=start),
        Event(2, 0, End("a", 0, BranchState.SUCCEEDED, value=1, span_id=spans[0], trace_flags=1)),
        Event(3, 0, End("b", 0, BranchState.FAILED, span_id=spans[1], trace_flags=1)),
    ]
    async with served(recording) as (service, duplex):
        for event in events:
            await duplex.write(encode_event(event))
        await duplex.half_close()
        result = (await answers(duplex))[-1]
        assert isinstance(result, Result)
        assert result.merged == ("a", "b")
        await until(lambda: not service.streams, "the stream to end")
    (span,) = recording.spans
    assert (span.parent, span.ids.trace_id, [link.span_id for link in span.links]) == (2, 1, [9])
    assert span.attributes["fanmesh.completed_by"] == "ALL"


# ---------------------------------------------------------------- as a process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """An aggregator of its own."""
    process = Process(f"unix:{tmp_path}/aggregator.sock", "--drain", "20")
    yield process
    process.destroy()


@pytest.mark.asyncio
async def test_sigterm_lets_running_streams_end(process: Process) -> None:
    """Drain: a stream that runs gets its result, new ones fall back, and the process ends with 0."""
    given = story(completion=rule())
    given.ok("a", 1)
    given.ok("b", 2)
    with patience():
        await drained(process, given)


async def drained(process: Process, given: Story) -> None:
    """The story of a drain: a stream runs, and the process is told to end."""
    async with dialled(process.address) as (aggregator, why):
        running = Told(aggregator, given.log)
        running.feed(running.log[:3])
        await until(lambda: running.acknowledged, "the events to be folded")
        health = await aggregator.channel.unary(HEALTH, b"", timeout=20)
        assert health_pb2.HealthCheckResponse.FromString(health.payload).status == health_pb2.HealthCheckResponse.SERVING
        process.send(signal.SIGTERM)
        assert process.line("draining")["streams"] == 1
        running.feed(running.log[3:])
        await running.result
        assert (running.session.mode, why) == (AggregatorMode.REMOTE, [])
        await until(lambda: aggregator.running == 0, "the stream to end")
        assert await asyncio.to_thread(process.end) == 0
        late = Told(aggregator, given.log)
        late.feed(late.log)
        await late.result
        assert late.session.mode is AggregatorMode.FELL_BACK


@pytest.mark.asyncio
async def test_it_listens_on_a_free_port_and_says_which() -> None:
    """Port 0 is for tests and demos: the log line names the port, and health knows the service."""
    process = Process("127.0.0.1:0")
    try:
        channel = GrpcTransport().connect(process.address)
        request = health_pb2.HealthCheckRequest(service="fanmesh.v1.AggregatorService").SerializeToString()
        reply = await channel.unary(HEALTH, request, timeout=20)
        assert health_pb2.HealthCheckResponse.FromString(reply.payload).status == health_pb2.HealthCheckResponse.SERVING
        await channel.close()
    finally:
        process.destroy()
