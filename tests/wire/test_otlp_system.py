"""Traces of the whole system as a real OTLP receiver sees them: client, dispatcher, aggregator, workers, each its own process.

Nothing is driven by hand here: what is proved is that the processes, as people start them, make one tree of each request.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, CompletedBy
from fanmesh.runtime.traceparent import SAMPLED
from fanmesh.runtime.tracing import AGGREGATE
from tests.kit.calls import Caller, Heard, ask
from tests.kit.mesh import plan
from tests.kit.otlp import Receiver, SpanData
from tests.kit.system import System, all_of

AT_ONCE: Final = 25
WORKERS: Final = ("one", "two", "fails", "hangs", "after", "parts")
ANSWER: Final = frozenset({"one", "two", "after", "parts"})

BRANCHES: Final = {
    "three": ("one", "two", "fails"),
    "four": ("hangs", "one", "after", "two"),
    "five": ("fails", "hangs", "parts", "after", "one"),
}
"""`fails` always does; `hangs` is left behind at its soft timeout; of `three` only the first answer is merged."""

SOFT: Final = {"hangs": {"soft_timeout": "20ms"}}
PLANS: Final = {
    name: plan(*branches, budget="12s", merge_reserve="3s", **(SOFT if "hangs" in branches else {"merge": "priority"}))
    for name, branches in BRANCHES.items()
}

ROOT, ASK, SERVED = "client", "ask", ("fanmesh.v1.WorkerService/Process", "fanmesh.v1.WorkerService/ProcessStream")
DISPATCHER, AGGREGATOR, WORKER = "fanmesh-dispatcher", "fanmesh-aggregator", "fanmesh-worker"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what the client knew when it asked, and what it heard. `sampled` is every other one."""

    number: int
    plan: str
    sampled: bool
    trace_id: str
    traceparent: str
    heard: Heard

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches of its plan."""
        return BRANCHES[self.plan]

    @property
    def merged(self) -> set[str]:
        """Those that are in its result."""
        return {"one"} if self.plan == "three" else {*ANSWER} & {*self.branches}

    @property
    def value(self) -> dict[str, Any]:
        """Its result, by branch."""
        value: dict[str, Any] = json.loads(self.heard.response.result.json)
        return {"one": value} if self.plan == "three" else value


@dataclass(frozen=True, slots=True)
class Told:
    """Everything after a run: the requests, and all spans that arrived until every process had ended."""

    remote: bool
    asked: list[Asked]
    spans: list[SpanData]

    @property
    def sampled(self) -> list[Asked]:
        """The requests that were to be traced."""
        return [one for one in self.asked if one.sampled]

    def trace(self, asked: Asked) -> Trace:
        """The spans of one request."""
        return Trace([span for span in self.spans if span.trace_id == asked.trace_id])


class Trace:
    """The spans of one request, by what they are."""

    def __init__(self, spans: list[SpanData]) -> None:
        self.spans = spans
        self.known = {span.span_id: span for span in spans}
        (self.root,) = self.of(ROOT, ASK)
        (self.request,) = self.of(DISPATCHER, "dispatch ")
        self.branches = {str(span.attributes["fanmesh.branch"]): span for span in self.of(DISPATCHER, "branch ")}
        self.served = {str(span.attributes["fanmesh.branch"]): span for span in self.of(WORKER)}
        (self.merge,) = self.of(AGGREGATOR) or self.of(DISPATCHER, "aggregate")

    def of(self, service: str, start: str = "") -> list[SpanData]:
        """Its spans of a service whose name begins so."""
        return [span for span in self.spans if span.service == service and span.name.startswith(start)]


class Client:
    """A program that traces with the SDK, and samples every other request."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource({"service.name": ROOT})
        self._providers = [TracerProvider(sampler, resource, shutdown_on_exit=False) for sampler in (ALWAYS_OFF, ALWAYS_ON)]
        for provider in self._providers:
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=True)))
        self._tracers = [provider.get_tracer("test") for provider in self._providers]

    async def ask(self, caller: Caller, number: int) -> Asked:
        """One request under a span of its own."""
        name, sampled = list(BRANCHES)[number // 2 % len(BRANCHES)], bool(number % 2)
        span = self._tracers[sampled].start_span(ASK, Context(), SpanKind.CLIENT)
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, set_span_in_context(span, Context()))
        heard = await caller.dispatch(ask(name, json=json.dumps({"n": number})), metadata=tuple(headers.items()))
        span.end()
        trace_id = format_trace_id(span.get_span_context().trace_id)
        return Asked(number, name, sampled, trace_id, headers["traceparent"], heard)

    def close(self) -> None:
        """Hand on what is left."""
        for provider in self._providers:
            provider.shutdown()


async def everything(directory: Path, endpoint: str, requests: int, *, remote: bool) -> list[Asked]:
    """Start the processes, send the requests, and end the processes, which then hand on their last spans."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    async with System(directory, environment) as system:
        roles, traced = "tests.kit.roles", "tests.kit.traced_workers"
        echoes, others, (_, aggregator) = await asyncio.gather(
            system.workers(*(f"{name}={roles}:echo" for name in WORKERS[:3]), behaviour=["fails:fail=UNAVAILABLE"]),
            system.workers(*(f"{traced}:{name}" for name in WORKERS[3:])),
            system.aggregator(),
        )
        workers = {name: {"target": echoes if name in WORKERS[:3] else others, "effect": "read"} for name in WORKERS}
        workers["parts"]["stream"] = True  # type: ignore[assignment]  # a mapping of JSON
        document: dict[str, Any] = {"workers": workers, "plans": PLANS}
        if remote:
            document["server"] = {"aggregator": aggregator}
        serving = await system.dispatcher(document, patient=remote)
        client = Client(endpoint)
        asked = await all_of((client.ask(serving.caller, number) for number in range(requests)), AT_ONCE)
        await system.stop()
        await asyncio.to_thread(client.close)
        return asked


@pytest.fixture(scope="module", params=["remote", "embedded"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A hundred requests with the aggregator as a service, twenty with the one in the dispatcher."""
    directory: Path = tmp_path_factory.mktemp("system")
    remote = request.param == "remote"
    with Receiver(directory) as receiver:
        asked = asyncio.run(everything(directory, receiver.endpoint, 100 if remote else 20, remote=remote))
        receiver.stop()  # rotel hands on what it holds
        yield Told(remote, asked, receiver.spans())


def test_every_request_is_answered(told: Told) -> None:
    """Tracing changes nothing for the caller: each reply is its own, holds what was answered, merged where configured."""
    mode = AggregatorMode.REMOTE if told.remote else AggregatorMode.EMBEDDED
    for one in told.asked:
        assert one.heard.code is Code.OK, one.heard.message
        report = one.heard.report
        assert (report.aggregator_mode, report.trace_id) == (mode, one.trace_id)
        assert report.completed_by == (CompletedBy.SOFT_TIMEOUT if "hangs" in one.branches else CompletedBy.ALL)
        assert one.value.keys() == one.merged
        assert one.value["one"] == {"n": one.number}


def test_every_span_arrives_once_and_nothing_else(told: Told) -> None:
    """Client, request, aggregator, and two for each branch: exactly these, of the sampled requests alone."""
    assert len({span.span_id for span in told.spans}) == len(told.spans)
    assert {span.trace_id for span in told.spans} == {one.trace_id for one in told.sampled}
    by_trace: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for span in told.spans:
        by_trace[span.trace_id][span.service, span.name] += 1
    for one in told.sampled:
        expected = Counter({(ROOT, ASK): 1, (DISPATCHER, f"dispatch {one.plan}"): 1})
        expected[(AGGREGATOR, AGGREGATE) if told.remote else (DISPATCHER, "aggregate")] = 1
        for branch in one.branches:
            expected[DISPATCHER, f"branch {branch}"] += 1
            expected[WORKER, SERVED[branch == "parts"]] += 1
        assert by_trace[one.trace_id] == expected


def test_no_span_has_a_foreign_parent(told: Told) -> None:
    """One tree a request: the client's span, under it the request, under that the branches, under each its worker's side."""
    for one in told.sampled:
        trace = told.trace(one)
        assert trace.root.parent_id == ""
        assert trace.request.parent_id == trace.root.span_id
        assert trace.request.attributes["fanmesh.request_id"] == one.heard.report.request_id
        assert trace.branches.keys() == trace.served.keys() == set(one.branches)
        for branch, span in trace.branches.items():
            assert span.parent_id == trace.request.span_id
            assert span.span_id == one.heard.row(branch).span_id
            served = trace.served[branch]
            assert served.parent_id == span.span_id
            assert served.attributes["fanmesh.request_id"] == one.heard.report.request_id
            assert (trace.request.kind, span.kind, served.kind) == ("SERVER", "CLIENT", "SERVER")


def test_the_aggregator_links_to_every_merged_attempt(told: Told) -> None:
    """Child of the request, linked to the attempts in its result: not to those that failed, were left, or lost to another."""
    for one in told.sampled:
        trace = told.trace(one)
        assert trace.merge.parent_id == trace.request.span_id
        merged = [trace.branches[branch] for branch in one.merged]
        assert sorted(trace.merge.links) == sorted((one.trace_id, span.span_id) for span in merged)
        assert {span.span_id for span in merged} == {row.span_id for row in one.heard.report.branches if row.merged}


def test_endings_can_be_told_apart(told: Told) -> None:
    """A branch left behind is no error; one that failed is, on both sides of the call; the request says how it ended."""
    for one in told.sampled:
        trace = told.trace(one)
        for branch, span in trace.branches.items():
            served = trace.served[branch]
            state, reason = span.attributes["fanmesh.branch.state"], span.attributes.get("fanmesh.branch.reason")
            codes = span.attributes["rpc.response.status_code"], served.attributes["rpc.response.status_code"]
            match branch:
                case "fails":
                    assert (state, reason, codes) == ("FAILED", "WORKER_ERROR", ("UNAVAILABLE", "UNAVAILABLE"))
                    assert (span.status, served.status) == ("ERROR", "ERROR")
                case "hangs":
                    assert (state, reason, codes) == ("CANCELLED", "SOFT_TIMEOUT", ("CANCELLED", "CANCELLED"))
                    assert (span.status, served.status) == ("UNSET", "UNSET")
                case _:
                    assert (state, reason, codes) == ("SUCCEEDED", None, ("OK", "OK"))
                    assert (span.status, served.status) == ("UNSET", "UNSET")
        degraded = [name for name, branch in (("error", "fails"), ("soft_timeout", "hangs")) if branch in one.branches]
        assert sorted(trace.request.attributes["fanmesh.degraded"]) == degraded
        assert trace.request.attributes["fanmesh.aggregator_mode"] == ("REMOTE" if told.remote else "EMBEDDED")


def test_a_worker_is_told_of_its_own_attempt_or_of_the_unsampled_caller(told: Told) -> None:
    """Sampled: the context names the attempt's span. Not sampled: it is the client's, so that nobody begins a trace."""
    for one in told.asked:
        if "after" in one.branches:
            seen = one.value["after"]
            if one.sampled:
                assert seen == f"00-{one.trace_id}-{one.heard.row('after').span_id}-{one.traceparent[-2:]}"
            else:
                assert seen == one.traceparent
                assert not int(seen[-2:], 16) & SAMPLED


def test_what_the_dispatcher_does_not_sample_nobody_samples(tmp_path: Path) -> None:
    """A request without a context that is not sampled here is told to workers as such: none begins a trace of its own."""
    with Receiver(tmp_path) as receiver:
        asyncio.run(sampled_at_the_head(tmp_path, receiver.endpoint))
        receiver.stop()
        spans = receiver.spans()
    assert {span.trace_id for span in spans} == {f"{7:032x}"}
    assert Counter(span.service for span in spans) == {DISPATCHER: 3, WORKER: 1}


async def sampled_at_the_head(directory: Path, endpoint: str) -> None:
    """Ten requests without a context, among them one from a caller that is traced; workers sample whatever is a root."""
    async with System(directory, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) as system:
        address = await system.workers("tests.kit.roles:echo")
        document = {"workers": {"echo": {"target": address, "effect": "read"}}, "plans": {"p": plan("echo", budget="10s")}}
        serving = await system.dispatcher(document, OTEL_TRACES_SAMPLER="parentbased_always_off")
        traced = (("traceparent", f"00-{7:032x}-{7:016x}-01"),)
        for number in range(10):
            heard = await serving.caller.dispatch(ask(), metadata=traced if number == 5 else ())
            assert heard.code is Code.OK
        await system.stop()
