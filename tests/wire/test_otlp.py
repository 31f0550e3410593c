"""Traces, as a real OTLP receiver sees them: dispatcher, workers and aggregator, a hundred requests at a time.

The observers are driven by hand, with the engine's own nouns, so that requests interleave at every step there is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.request import Request
from dispatcher.wire.spans import Spans, trace_of
from fanmesh.model.coverage import Coverage
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Success
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.runtime import telemetry
from fanmesh.runtime.clock import now_ns
from fanmesh.runtime.traceparent import Ids, render
from fanmesh.runtime.tracing import AGGREGATE, Attribute, MergeSpan, Recorder, ServerSpan
from tests.kit.otlp import Receiver, SpanData

REQUESTS = 100
PROCESS = "fanmesh.v1.WorkerService/Process"
PLAN = Plan("enrich", tuple(Node(branch, Worker(branch, f"{branch}:50051")) for branch in ("geo", "phone", "mail")))


class Address:
    """An endpoint."""

    address = "127.0.0.1:50051"


class Turnstile:
    """Lets waiting tasks through one at a time in a seeded random order: every step of every request meets every other's."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (an order of steps, not a secret)
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    async def turn(self) -> None:
        """Wait for a turn."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._wake.set()
        await mine

    async def drive(self) -> None:
        """Hand out turns until cancelled."""
        while True:
            while self._waiting:
                index = self._random.randrange(len(self._waiting))
                self._waiting.pop(index).set_result(None)
            self._wake.clear()
            await self._wake.wait()


class System:
    """Three services that trace: each has its own recorder, as its own process would."""

    def __init__(self, dispatcher: Recorder, worker: Recorder, aggregator: Recorder) -> None:
        self.dispatcher, self.worker, self.aggregator = dispatcher, worker, aggregator
        self.observer = Spans(dispatcher, now_ns)

    async def request(self, number: int, gate: Turnstile) -> None:
        """One request: odd ones come with a caller's trace. `geo` is retried, and every fifth `mail` is left behind."""
        caller = (("traceparent", render(Ids(0xC0FFEE00 + number, 0xBEEF0000 + number))), ("tracestate", f"vendor=r{number}"))
        request = Request(
            f"r{number}", "enrich", Input(), now_ns(), trace=trace_of(caller if number % 2 else (), self.dispatcher)
        )
        request.method = "fanmesh.v1.DispatcherService/Dispatch"
        self.observer.request_started(request)
        await gate.turn()
        merge = MergeSpan(self.aggregator, request.trace.traceparent)
        runs = [BranchRun(request, PLAN, node, i, 0, lambda *_: None) for i, node in enumerate(PLAN.nodes)]
        await asyncio.gather(*(self.branch(run, merge, gate, number) for run in runs))
        rows = tuple(
            BranchReport(r.node.id, r.node.worker.name, r.state, r.reason, merged=r.state is BranchState.SUCCEEDED)
            for r in runs
        )
        merge.end([row.branch for row in rows if row.merged], {"fanmesh.request_id": request.id})
        report = Report(request.id, "enrich", CompletedBy.ALL, Coverage(), rows, aggregator_mode=AggregatorMode.REMOTE)
        self.observer.request_ended(request, report, None, now_ns())

    async def branch(self, run: BranchRun, merge: MergeSpan, gate: Turnstile, number: int) -> None:
        """One branch, with the observer's calls in the engine's order."""
        self.observer.branch_started(run)
        fates: list[Code | None] = [Code.OK]
        if run.node.id == "geo":
            fates = [Code.UNAVAILABLE, Code.OK]
        elif run.node.id == "mail" and number % 5 == 0:
            fates = [None]
        for tries, fate in enumerate(fates):
            await gate.turn()
            attempt = Attempt(run, tries, AttemptKind.RETRY if tries else AttemptKind.FIRST, now_ns())
            run.attempts.append(attempt)
            run.started_at = run.started_at or attempt.sent_at
            attempt.endpoint = Address()
            self.observer.attempt_started(attempt)
            await gate.turn()
            await self.serve(attempt, fate, gate)
            attempt.outcome = None if fate is None else Success({}) if fate is Code.OK else Fault.of(fate)
            attempt.cancelled, attempt.ended_at = fate is None, now_ns()
            self.observer.attempt_ended(attempt)
        run.outcome = run.attempts[-1].outcome
        cancelled = (BranchState.CANCELLED, BranchReason.SOFT_TIMEOUT)
        run.state, run.reason = cancelled if run.outcome is None else (BranchState.SUCCEEDED, BranchReason.NONE)
        await gate.turn()
        self.observer.branch_ended(run)
        merge.arrived(run.node.id, attempt.trace.span_id, attempt.trace.flags)

    async def serve(self, attempt: Attempt, fate: Code | None, gate: Turnstile) -> None:
        """The worker's side, which knows nothing but the metadata it was sent."""
        sent = dict(attempt.metadata)
        told: dict[str, Attribute] = {
            "test.request": attempt.run.request.id,
            "test.branch": attempt.run.node.id,
            "test.attempt": attempt.number,
        }
        try:
            with ServerSpan(self.worker, PROCESS, sent["traceparent"], sent.get("tracestate", ""), told):
                await gate.turn()
                if fate is not Code.OK:
                    raise asyncio.CancelledError if fate is None else Fault.of(fate)
        except (Fault, asyncio.CancelledError):
            pass


class Input:
    """An input that nobody reads."""

    value = None


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SpanData]]:
    """What arrived, after all hundred requests."""
    directory: Path = tmp_path_factory.mktemp("rotel")
    with pytest.MonkeyPatch.context() as environment, Receiver(directory) as receiver:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        recorders = [telemetry.start(name) for name in ("dispatcher", "worker", "aggregator")]
        asyncio.run(everything(System(*recorders)))
        for recorder in recorders:
            recorder.close()
        per_request = 1 + 3 + 1 + 4 + 1  # request, branches, retry, worker's side of 4 attempts, aggregator
        yield receiver.spans(at_least=REQUESTS * per_request)


async def everything(system: System) -> None:
    gate = Turnstile(seed=7)
    driver = asyncio.ensure_future(gate.drive())
    await asyncio.gather(*(system.request(n, gate) for n in range(REQUESTS)))
    driver.cancel()


def by_id(spans: list[SpanData]) -> dict[str, SpanData]:
    return {span.span_id: span for span in spans}


def of(spans: list[SpanData], service: str, start: str = "") -> list[SpanData]:
    return [span for span in spans if span.service == service and span.name.startswith(start)]


def test_every_span_arrives_once(spans: list[SpanData]) -> None:
    """Nothing is lost or doubled on the way: ten spans a request, every id different."""
    assert len(spans) == REQUESTS * 10
    assert len(by_id(spans)) == len(spans)


def test_no_span_has_a_foreign_parent(spans: list[SpanData]) -> None:
    """A parent is in the same trace, and is the span that really caused it: request → branch → retry, attempt → worker."""
    known = by_id(spans)
    for span in spans:
        if span.parent_id in known:
            assert known[span.parent_id].trace_id == span.trace_id
        else:
            assert span.service == "dispatcher"
            assert span.name == "dispatch enrich"
    for span in of(spans, "dispatcher", "branch"):
        assert known[span.parent_id].name == "dispatch enrich"
        assert (span.kind, known[span.parent_id].kind) == ("CLIENT", "SERVER")
    for span in of(spans, "dispatcher", "attempt"):
        assert known[span.parent_id].name == "branch geo"
    for span in of(spans, "worker"):
        caller = known[span.parent_id]
        assert caller.attributes["fanmesh.branch"] == span.attributes["test.branch"]
        assert caller.attributes["fanmesh.attempt.number"] == span.attributes["test.attempt"]
        root = caller
        while root.name != "dispatch enrich":
            root = known[root.parent_id]
        assert root.attributes["fanmesh.request_id"] == span.attributes["test.request"]


def test_a_callers_trace_goes_on(spans: list[SpanData]) -> None:
    """With a traceparent the request is its child, in its trace, with its tracestate; without one it is a root."""
    roots = {span.attributes["fanmesh.request_id"]: span for span in of(spans, "dispatcher", "dispatch")}
    for number in range(REQUESTS):
        span = roots[f"r{number}"]
        if number % 2:
            assert span.trace_id == f"{0xC0FFEE00 + number:032x}"
            assert span.parent_id == f"{0xBEEF0000 + number:016x}"
            assert {s.tracestate for s in spans if s.trace_id == span.trace_id and s.service != "aggregator"} == {
                f"vendor=r{number}"
            }
        else:
            assert span.parent_id == ""
    assert len({span.trace_id for span in roots.values()}) == REQUESTS


def test_the_aggregator_links_to_every_merged_attempt(spans: list[SpanData]) -> None:
    """One link for each merged branch, to the attempt that answered: the retry of `geo`, not its failed first attempt."""
    known = by_id(spans)
    merges = of(spans, "aggregator")
    assert len(merges) == REQUESTS
    for merge in merges:
        assert merge.name == AGGREGATE
        request = known[merge.parent_id]
        assert request.attributes["fanmesh.request_id"] == merge.attributes["fanmesh.request_id"]
        left_behind = int(merge.attributes["fanmesh.request_id"][1:]) % 5 == 0
        linked = [known[span_id] for _, span_id in merge.links]
        assert [span.name for span in linked] == ["attempt geo", "branch phone", *([] if left_behind else ["branch mail"])]
        for (trace_id, _), span in zip(merge.links, linked, strict=True):
            assert trace_id == span.trace_id == merge.trace_id
            assert span.attributes["fanmesh.attempt.won"] is True


def test_endings_can_be_told_apart(spans: list[SpanData]) -> None:
    """A branch left behind is no error and says so; a failed first attempt shows its own code under a branch that succeeded."""
    mails = of(spans, "dispatcher", "branch mail")
    left = [span for span in mails if span.attributes["fanmesh.branch.state"] == "CANCELLED"]
    assert len(left) == REQUESTS // 5
    for span in left:
        assert span.status == "UNSET"
        assert span.attributes["fanmesh.branch.reason"] == "SOFT_TIMEOUT"
        assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    for span in of(spans, "dispatcher", "branch geo"):
        assert span.status == "UNSET"
        assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"
        assert (span.attributes["fanmesh.branch.state"], span.attributes["fanmesh.branch.attempts"]) == ("SUCCEEDED", 2)
    failed = [span for span in of(spans, "worker") if span.status == "ERROR"]
    assert len(failed) == REQUESTS
    assert {span.attributes["rpc.response.status_code"] for span in failed} == {"UNAVAILABLE"}


def test_children_lie_within_their_parents(spans: list[SpanData]) -> None:
    """Spans of one process agree about time: no branch begins before its request or ends after it."""
    known = by_id(spans)
    for span in of(spans, "dispatcher"):
        assert span.start <= span.end
        if parent := known.get(span.parent_id):
            assert parent.start <= span.start
            assert span.end <= parent.end
