"""Both clients against a real server that plays the dispatcher, one answer per plan."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from fanmesh.client import AsyncClient, Client
from fanmesh.client_codec import DISPATCH, DISPATCH_STREAM, EXPLAIN
from fanmesh.fitting import ResultMismatch
from fanmesh.model.coverage import Coverage, Degraded
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.model.times import MS
from fanmesh.payload import PayloadError, from_value, to_value
from fanmesh.reporting import to_branch, to_coverage, to_report, to_summary
from fanmesh.result import Accept, BranchEvent, Budget, DispatchFailed, Final, Result, Snapshot
from fanmesh.transport import status
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Routes, ServerCall, StatusError
from fanmesh.v1 import dispatcher_pb2

COVERAGE = Coverage(0.5, 1.0, 2.0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0)
ROWS = (
    BranchReport("phone", "phone", BranchState.SUCCEEDED),
    BranchReport("geo", "geo", BranchState.CANCELLED, BranchReason.SOFT_TIMEOUT),
)
REPORT = Report("r1", "enrich", CompletedBy.SOFT_TIMEOUT, COVERAGE, ROWS, Degraded(soft_timeout=True), elapsed=301 * MS)


@dataclass
class _Enriched:
    country: str
    score: int = 0


class _Dispatcher:
    """Answers by the name of the plan, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dispatcher_pb2.DispatchRequest = dispatcher_pb2.DispatchRequest()
        self.outer = dispatcher_pb2.DispatchStreamRequest()
        self.headers: dict[str, str] = {}
        self.left: float | None = None
        self.cancelled = asyncio.Event()
        self.server = GrpcTransport().server(
            "127.0.0.1:0",
            Routes(unary={DISPATCH: self._dispatch, EXPLAIN: self._explain}, stream={DISPATCH_STREAM: self._stream}),
        )

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def _dispatch(self, raw: bytes, call: ServerCall) -> bytes:
        self.asked = dispatcher_pb2.DispatchRequest.FromString(raw)
        self.headers = {key: value for key, value in call.metadata if isinstance(value, str)}
        self.left = call.time_remaining()
        match self.asked.plan:
            case "rubbish":
                return b"\xff\xff"
            case "no report":
                return b""
            case "future":
                return dispatcher_pb2.DispatchResponse(report={"completed_by": 99}).SerializeToString()  # type: ignore[arg-type]
            case "fails":
                response = self._response()
                response.outcome.CopyFrom(
                    status.status(Code.UNAVAILABLE, "floor", [status.error_info("COMPLETION_UNREACHABLE", {"branch": "geo"})])
                )
                if self.asked.failure_in_message:
                    return response.SerializeToString()
                raise self._error()
        return self._response().SerializeToString()

    def _response(self) -> dispatcher_pb2.DispatchResponse:
        return dispatcher_pb2.DispatchResponse(result=from_value({"country": "DE", "score": 7}), report=to_report(REPORT))

    def _error(self) -> StatusError:
        info = status.error_info("COMPLETION_UNREACHABLE", {"branch": "geo"})
        trailers = ((status.PUSHBACK, "-1"),)
        return StatusError(Code.UNAVAILABLE, "floor", trailers=trailers, details=[info, to_summary(REPORT)])

    async def _stream(self, raw: bytes, _: ServerCall) -> AsyncIterator[bytes]:
        self.outer = dispatcher_pb2.DispatchStreamRequest.FromString(raw)
        events = dispatcher_pb2.DispatchStreamResponse
        coverage = to_coverage(COVERAGE)
        try:  # a caller that goes after the first event may be noticed while the second is sent
            yield events(seq=1, snapshot=from_value({"country": "FR"}), coverage=coverage).SerializeToString()
            yield events(seq=2, branch=to_branch(ROWS[1]), coverage=coverage).SerializeToString()
            if self.outer.request.plan == "hangs":
                await asyncio.get_running_loop().create_future()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        match self.outer.request.plan:
            case "ends":
                return
            case "odd":
                yield b""
        yield events(seq=3, final=self._response()).SerializeToString()
        if self.outer.request.plan == "fails":
            raise self._error()

    async def _explain(self, raw: bytes, _: ServerCall) -> bytes:
        request = dispatcher_pb2.ExplainRequest.FromString(raw).request
        if not request.plan:
            raise StatusError(Code.NOT_FOUND, "none", details=[status.error_info("NO_ROUTE")])
        return dispatcher_pb2.ExplainResponse(plan=request.plan).SerializeToString()


class _Threaded:
    """The blocking client, each call in a thread, so that one test speaks for both."""

    def __init__(self, target: str) -> None:
        self._client = Client(target)

    async def dispatch(self, *args: Any, **kwargs: Any) -> Result[Any]:
        return await asyncio.to_thread(self._client.dispatch, *args, **kwargs)

    async def explain(self, *args: Any, **kwargs: Any) -> dispatcher_pb2.ExplainResponse:
        return await asyncio.to_thread(self._client.explain, *args, **kwargs)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        events = self._client.stream(*args, **kwargs)
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                yield event
        finally:
            await asyncio.to_thread(events.close)  # type: ignore[attr-defined]

    async def __aenter__(self) -> Self:
        self._client.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._client.__exit__, None, None, None)


BOTH = pytest.mark.parametrize("connect", [AsyncClient, _Threaded])
Connect = Callable[[str], Any]


async def failure(call: Awaitable[object]) -> DispatchFailed:
    with pytest.raises(DispatchFailed) as e:
        await call
    return e.value


@pytest.mark.asyncio
@BOTH
async def test_a_dispatch_returns_the_value_as_its_type_and_the_report(connect: Connect) -> None:
    """`returns` shapes the value; what is missing is one word away."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        r = await client.dispatch("enrich", {"phone": "1"}, returns=_Enriched, timeout=5)
        assert r.value == _Enriched("DE", 7)
        assert (r.report, r.complete, r.coverage, r.missing, r.elapsed) == (REPORT, False, 0.5, ("geo",), 301 * MS)
        assert (await client.dispatch("enrich")).value == {"country": "DE", "score": 7}


@pytest.mark.asyncio
@BOTH
async def test_a_dispatch_sends_everything_it_was_given(connect: Connect) -> None:
    """Input, attributes, keys, budget, floor, headers and the deadline reach the dispatcher."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        await client.dispatch(
            "enrich",
            _Enriched("DE"),
            timeout=5,
            attributes={"tenant": "acme"},
            idempotency_key="k",
            budget=Budget(latency=1.5, tokens=10, usd="0.0000005"),
            accept=Accept(2, 0.5, ("phone",)),
            metadata={"fanmesh-criticality": "SHEDDABLE"},
        )
        asked = dispatcher.asked
        assert to_value(asked.input) == {"country": "DE", "score": 0}
        assert (dict(asked.attributes), asked.idempotency_key) == ({"tenant": "acme"}, "k")
        assert (asked.budget.latency.ToNanoseconds(), asked.budget.tokens, asked.budget.cost_usd_micros) == (1500 * MS, 10, 1)
        assert (asked.accept.min_success, asked.accept.min_coverage, list(asked.accept.required)) == (2, 0.5, ["phone"])
        assert dispatcher.headers["fanmesh-criticality"] == "SHEDDABLE"
        assert dispatcher.left is not None
        assert 0 < dispatcher.left < 5.1
        await client.dispatch("enrich")
        assert not dispatcher.asked.HasField("accept")
        assert not dispatcher.asked.HasField("budget")
        assert dispatcher.left is None


@pytest.mark.asyncio
@BOTH
async def test_the_current_span_is_the_parent_of_the_request(connect: Connect) -> None:
    """Its traceparent is sent, unless the caller gives one; without a span there is none."""
    span = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, is_remote=False, trace_flags=TraceFlags(1))
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        await client.dispatch("enrich")
        assert "traceparent" not in dispatcher.headers
        with trace.use_span(NonRecordingSpan(span)):
            await client.dispatch("enrich")
            assert dispatcher.headers["traceparent"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            await client.dispatch("enrich", metadata={"traceparent": "mine"})
            assert dispatcher.headers["traceparent"] == "mine"


@pytest.mark.asyncio
@BOTH
async def test_a_failure_says_why_with_a_summary_of_the_report(connect: Connect) -> None:
    """Code, reason, its details, the worst branches, and whether to come back."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        e = await failure(client.dispatch("fails"))
        assert (e.code, e.reason, e.message, e.retry_after) == (Code.UNAVAILABLE, "COMPLETION_UNREACHABLE", "floor", -1)
        assert (dict(e.details), e.summary) == ({"branch": "geo"}, True)
        assert e.report is not None
        assert [row.branch for row in e.report.branches] == ["geo", "phone"]
        assert str(e) == "UNAVAILABLE COMPLETION_UNREACHABLE: floor"


@pytest.mark.asyncio
@BOTH
async def test_a_failure_carries_the_full_report_when_asked(connect: Connect) -> None:
    """`full_report` asks for the failure as a message."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        e = await failure(client.dispatch("fails", full_report=True))
        assert (e.code, e.reason, e.report, e.summary) == (Code.UNAVAILABLE, "COMPLETION_UNREACHABLE", REPORT, False)


@pytest.mark.asyncio
@BOTH
@pytest.mark.parametrize("plan", ["rubbish", "no report", "future"])
async def test_a_reply_that_cannot_be_read_is_a_failure(connect: Connect, plan: str) -> None:
    """Never an exception of the decoder's."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        e = await failure(client.dispatch(plan))
        assert (e.code, e.reason) == (Code.INTERNAL, "UNREADABLE_REPLY")


@pytest.mark.asyncio
@BOTH
async def test_what_is_not_json_never_leaves_and_what_does_not_fit_is_named(connect: Connect) -> None:
    """The caller's own mistakes are PayloadErrors with the field; what came is there all the same, with its report."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        with pytest.raises(PayloadError, match=r"^a: nan"):
            await client.dispatch("enrich", {"a": float("nan")})
        with pytest.raises(ResultMismatch, match="valid integer") as unfit:
            await client.dispatch("enrich", returns=int)
        assert unfit.value.result.report.plan == "enrich"
        assert not isinstance(unfit.value.result.value, int)


@pytest.mark.asyncio
@BOTH
@pytest.mark.parametrize("metadata", [{"X-Tenant": "acme"}, {"x-tenant": "café"}], ids=["key", "value"])
async def test_metadata_that_cannot_be_sent_is_a_failure_at_once(connect: Connect, metadata: dict[str, str]) -> None:
    """Of one answer and of a stream, which grpc would begin and never end; nothing was sent, the text says why."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:

        async def streamed() -> None:
            async for _ in client.stream("enrich", metadata=metadata):
                pass

        for call in (client.dispatch("enrich", metadata=metadata), streamed()):
            failed = await failure(asyncio.wait_for(call, 10))
            assert failed.code is Code.INTERNAL
            assert not failed.sent
            assert repr(next(iter(metadata))) in failed.message


@pytest.mark.asyncio
@BOTH
async def test_a_closed_client_says_so(connect: Connect) -> None:
    """As any call without a connection fails."""
    async with _Dispatcher() as dispatcher:
        async with connect(dispatcher.target) as client:
            await client.dispatch("enrich")
        failed = await failure(client.dispatch("enrich"))
    assert (failed.code, failed.sent) == (Code.UNAVAILABLE, False)


@pytest.mark.asyncio
@BOTH
async def test_no_dispatcher_is_unavailable_without_a_reason(connect: Connect) -> None:
    """The failure is the network's, and there is no report."""
    async with _Dispatcher() as dispatcher:
        target = dispatcher.target
    async with connect(target) as client:
        e = await failure(client.dispatch("enrich", timeout=5))
        assert (e.code, e.reason, e.report) == (Code.UNAVAILABLE, "", None)
        e = await failure(client.explain("enrich", timeout=5))
        assert e.code is Code.UNAVAILABLE
        e = await failure(client.dispatch("enrich", timeout=0))
        assert e.code is Code.DEADLINE_EXCEEDED


@pytest.mark.asyncio
@BOTH
async def test_a_stream_gives_typed_events_and_ends_with_the_reply(connect: Connect) -> None:
    """Snapshots, branches, then the result as its type."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        events = [
            e
            async for e in client.stream(
                "enrich", {"a": 1}, emit=EmitMode.BRANCH_EVENTS, min_interval=0.5, returns=_Enriched, timeout=5
            )
        ]
        assert events == [
            Snapshot({"country": "FR"}, COVERAGE),
            BranchEvent(ROWS[1], COVERAGE),
            Final(Result(_Enriched("DE", 7), REPORT)),
        ]
        assert dispatcher.outer.emit == EmitMode.BRANCH_EVENTS
        assert dispatcher.outer.min_interval.ToNanoseconds() == 500 * MS


@pytest.mark.asyncio
@BOTH
async def test_a_stream_that_fails_gives_the_full_report_of_its_last_message(connect: Connect) -> None:
    """The last message came before the status; nothing is summed up."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        with pytest.raises(DispatchFailed) as e:
            _ = [event async for event in client.stream("fails")]
        assert (e.value.reason, e.value.report, e.value.summary) == ("COMPLETION_UNREACHABLE", REPORT, False)


@pytest.mark.asyncio
@BOTH
@pytest.mark.parametrize("plan", ["ends", "odd"])
async def test_a_stream_without_a_reply_is_a_failure(connect: Connect, plan: str) -> None:
    """Neither an early end nor an event of an unknown kind passes for an answer."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        with pytest.raises(DispatchFailed) as e:
            _ = [event async for event in client.stream(plan)]
        assert e.value.reason == "UNREADABLE_REPLY"


@pytest.mark.asyncio
@BOTH
async def test_leaving_a_stream_cancels_the_request(connect: Connect) -> None:
    """The dispatcher sees its caller go."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        async with aclosing(client.stream("hangs")) as events:
            assert isinstance(await anext(events), Snapshot)
        await asyncio.wait_for(dispatcher.cancelled.wait(), 5)


@pytest.mark.asyncio
@BOTH
async def test_explain_says_what_would_run(connect: Connect) -> None:
    """Or why nothing would."""
    async with _Dispatcher() as dispatcher, connect(dispatcher.target) as client:
        assert (await client.explain("enrich", {"a": 1})).plan == "enrich"
        e = await failure(client.explain(""))
        assert (e.code, e.reason) == (Code.NOT_FOUND, "NO_ROUTE")


@pytest.mark.asyncio
async def test_an_async_client_connects_when_asked() -> None:
    """Readiness is a question; closing a client that never connected is nothing."""
    async with _Dispatcher() as dispatcher:
        client = AsyncClient(dispatcher.target)
        assert await client.wait_ready(5)
        await client.close()
    await AsyncClient("127.0.0.1:1").close()
