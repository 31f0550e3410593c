from dataclasses import replace

import pytest
from opentelemetry.trace import SpanKind

from dispatcher.layers.types import BranchRun
from dispatcher.model.caching import CacheRule
from dispatcher.model.request import Refusal, Tightening, Trace
from dispatcher.wire.span_attributes import address_of
from dispatcher.wire.spans import Spans, trace_of
from fanmesh.model.coverage import Coverage, Degraded
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Success
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import SECOND
from fanmesh.runtime.tracing import OFF
from tests.kit.recording import Recorded, Recording
from tests.kit.story import attempt_of, closed, ended, request_of, run_of

S, R = BranchState, BranchReason
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = CALLER[:-2] + "00"


class Clock:
    """Time by hand."""

    now = 0

    def __call__(self) -> int:
        """Now."""
        return self.now


def sampled(recording: Recording) -> Trace:
    return trace_of((("traceparent", CALLER), ("tracestate", "a=1")), recording)


def play(
    recording: Recording, run: BranchRun, *fates: Fault | Success | None, state: BranchState, reason: BranchReason = R.NONE
) -> None:
    """A branch from start to end, each attempt 10 ns long."""
    clock = Clock()
    spans = Spans(recording, clock)
    spans.request_started(run.request)
    spans.branch_started(run)
    for fate in fates:
        attempt = attempt_of(run, clock.now, AttemptKind.RETRY if run.attempts else AttemptKind.FIRST)
        spans.attempt_started(attempt)
        clock.now += 10
        spans.attempt_ended(ended(attempt, fate, clock.now))
    spans.branch_ended(closed(run, state, reason))


# ---------------------------------------------------------------- the decision


def test_without_an_exporter_the_context_is_passed_on_untouched() -> None:
    """Not recording is no reason to break the trace of those who do: even the sampled flag goes on."""
    trace = trace_of((("traceparent", CALLER), ("tracestate", "a=1"), ("tracestate", "b=2")), OFF)
    assert trace == Trace(CALLER, "a=1,b=2", sampled=False)
    assert trace_of((), OFF) == Trace()


def test_a_sampled_caller_makes_a_sampled_child() -> None:
    """The request's traceparent names its own span in the caller's trace, and remembers the caller's span."""
    trace = sampled(Recording())
    assert trace == Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-01", "a=1", True, "00f067aa0ba902b7")
    assert trace.trace_id == CALLER[3:35]


def test_an_unsampled_caller_is_respected() -> None:
    """The parent decides."""
    assert trace_of((("traceparent", UNSAMPLED),), Recording()) == Trace(UNSAMPLED)


def test_a_request_without_context_is_a_root() -> None:
    """Sampled: a new trace. Not sampled: a context that says so, or each worker would begin a trace of its own."""
    assert trace_of((("x", "y"), ("bin", b"z")), Recording()) == Trace(f"00-{0xABC:032x}-{1:016x}-01", "", sampled=True)
    assert trace_of((), Recording(roots=False)) == Trace(f"00-{1:016x}{2:016x}-{3:016x}-00")


def test_an_invalid_context_is_not_passed_on() -> None:
    """W3C: if traceparent cannot be parsed, neither it nor tracestate is forwarded."""
    invalid = (("traceparent", "rubbish"), ("tracestate", "a=1"))
    assert trace_of(invalid, OFF) == Trace()
    assert trace_of(invalid, Recording(roots=False)) == trace_of((), Recording(roots=False))


# ---------------------------------------------------------------- attempts and branches


def test_an_unsampled_request_leaves_nothing_behind() -> None:
    """Its context goes to the worker as it came, and no id and no span is made."""
    recording = Recording()
    run = run_of(request_of(Trace(UNSAMPLED, "a=1")))
    play(recording, run, Success({}), state=S.SUCCEEDED)
    assert run.request.trace.headers() == (("traceparent", UNSAMPLED), ("tracestate", "a=1"))
    assert run.attempts[0].metadata == ()
    assert (run.trace, run.attempts[0].trace, recording.spans, recording.new_span_id()) == (None, None, [], 1)


def test_without_context_the_worker_is_told_none() -> None:
    """An empty header would be invalid."""
    run = run_of(request_of())
    play(Recording(), run, Success({}), state=S.SUCCEEDED)
    assert run.attempts[0].metadata == ()


def test_the_first_attempt_is_the_branch() -> None:
    """One span for both; the worker's parent is that span; links and reports get its id."""
    recording = Recording()
    run = run_of(request_of(sampled(recording)))
    play(recording, run, Success({}), state=S.SUCCEEDED)
    (span,) = recording.spans
    assert (span.name, span.kind, span.parent, span.ids.span_id, span.error) == ("branch geo", SpanKind.CLIENT, 1, 2, None)
    assert run.trace is run.attempts[0].trace
    assert (run.trace.span_id, run.trace.flags) == ((2).to_bytes(8, "big"), 1)
    assert run.attempts[0].metadata == (("traceparent", f"{CALLER[:36]}{2:016x}-01"), ("tracestate", "a=1"))
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "fanmesh.v1.WorkerService/Process",
        "rpc.response.status_code": "OK",
        "server.address": "127.0.0.1",
        "server.port": 50051,
        "fanmesh.plan": "p",
        "fanmesh.branch": "geo",
        "fanmesh.worker": "geo",
        "fanmesh.branch.state": "SUCCEEDED",
        "fanmesh.branch.required": False,
        "fanmesh.branch.weight": 1.0,
        "fanmesh.attempt.number": 0,
        "fanmesh.attempt.kind": "first",
        "fanmesh.attempt.won": True,
    }


def test_a_second_attempt_is_a_child_of_the_branch() -> None:
    """It has its own span and its own context at the worker; the first keeps its own code."""
    recording = Recording()
    run = run_of(request_of(sampled(recording)))
    play(recording, run, Fault.unavailable("payload?"), Success({}), state=S.SUCCEEDED)
    retry, branch = recording.spans
    assert (retry.name, retry.parent, retry.ids.span_id) == ("attempt geo", branch.ids.span_id, 3)
    assert (retry.start - branch.start, retry.end - retry.start) == (10, 10)
    assert branch.end - branch.start == 20
    assert retry.attributes["fanmesh.attempt.kind"] == "retry"
    assert (retry.attributes["fanmesh.attempt.won"], branch.attributes["fanmesh.attempt.won"]) == (True, False)
    assert branch.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert branch.attributes["fanmesh.branch.attempts"] == 2
    assert (branch.error, retry.error) == (None, None)
    assert f"{3:016x}" in run.attempts[1].metadata[0][1]


def test_a_failed_attempt_is_an_error_and_a_cancelled_one_is_not() -> None:
    """Losers end as cancelled."""
    recording = Recording()
    play(recording, run_of(request_of(sampled(recording))), None, Fault.internal(), None, state=S.FAILED, reason=R.WORKER_ERROR)
    failed, cancelled, _ = recording.spans
    assert (failed.error, failed.attributes["error.type"]) == ("INTERNAL", "INTERNAL")
    assert (cancelled.error, cancelled.attributes["rpc.response.status_code"]) == (None, "CANCELLED")


@pytest.mark.parametrize(
    ("state", "reason", "fate", "code", "error"),
    [
        (S.CANCELLED, R.SOFT_TIMEOUT, None, "CANCELLED", None),
        (S.CANCELLED, R.COMPLETION_MET, None, "CANCELLED", None),
        (S.CANCELLED, R.LATE, Success({}), "OK", None),
        (S.PENDING, R.NONE, None, "CANCELLED", None),
        (S.TIMED_OUT, R.HARD_TIMEOUT, None, "DEADLINE_EXCEEDED", "TIMED_OUT/HARD_TIMEOUT"),
        (S.TIMED_OUT, R.REQUEST_DEADLINE, None, "DEADLINE_EXCEEDED", "TIMED_OUT/REQUEST_DEADLINE"),
        (S.FAILED, R.WORKER_ERROR, Fault.not_found("secret"), "NOT_FOUND", "FAILED/WORKER_ERROR"),
    ],
)
def test_endings(state: BranchState, reason: BranchReason, fate: Fault | Success | None, code: str, error: str | None) -> None:
    """Soft and hard timeouts are told apart by state and reason; what we gave up is no error; no error text gets out."""
    recording = Recording()
    play(recording, run_of(request_of(sampled(recording))), fate, state=state, reason=reason)
    (span,) = recording.spans
    assert span.attributes["fanmesh.branch.state"] == ("CANCELLED" if state is S.PENDING else state.name)
    assert span.attributes.get("fanmesh.branch.reason", "NONE") == reason.name
    assert span.attributes["rpc.response.status_code"] == code
    assert span.error == error
    assert span.attributes.get("error.type") == (reason.name if error else None)
    assert "secret" not in str(span)


def test_a_decision_is_an_event_of_the_branch() -> None:
    """What was decided, why, when and about whom; host and port are apart, as in the attributes of a call."""
    recording = Recording()
    run = run_of(request_of(sampled(recording)))
    run.note("hedge", "slow", 7, "[::1]:50052")
    run.note("retry_denied", "budget", 8)
    play(recording, run, Success({}), state=S.SUCCEEDED)
    (span,) = recording.spans
    hedge, denied = span.events
    assert (hedge.name, hedge.at - span.start) == ("hedge", 7)
    assert hedge.attributes == {"fanmesh.policy.why": "slow", "server.address": "::1", "server.port": 50052}
    assert (denied.name, denied.attributes) == ("retry_denied", {"fanmesh.policy.why": "budget"})


def test_a_branch_that_was_refused_lasts_from_the_refusal() -> None:
    """No event lies outside its span."""
    recording = Recording()
    run = run_of(request_of(sampled(recording)))
    run.note("refused", "breaker", -5)
    play(recording, run, state=S.REJECTED, reason=R.BREAKER_OPEN)
    (span,) = recording.spans
    assert (span.end - span.start, span.events[0].at, span.error) == (5, span.start, "REJECTED/BREAKER_OPEN")


def test_an_answer_that_nobody_waited_for_has_not_won() -> None:
    """As the report says."""
    recording = Recording()
    play(recording, run_of(request_of(sampled(recording))), Success({}), state=S.CANCELLED, reason=R.LATE)
    (span,) = recording.spans
    assert span.attributes["fanmesh.attempt.won"] is False


def test_a_first_attempt_that_failed_keeps_its_code_when_the_branch_times_out() -> None:
    """The span of both says what each of them came to: the call's code, the branch's state."""
    recording = Recording()
    fates = (Fault.unavailable("x"), None)
    play(recording, run_of(request_of(sampled(recording))), *fates, state=S.TIMED_OUT, reason=R.HARD_TIMEOUT)
    *_, span = recording.spans
    assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert (span.attributes["fanmesh.branch.state"], span.error) == ("TIMED_OUT", "TIMED_OUT/HARD_TIMEOUT")


def test_what_the_caller_requires_is_required() -> None:
    """The span says what held for this request, not only what the plan says."""
    recording = Recording()
    request = request_of(sampled(recording))
    request.tightening = Tightening(required=frozenset({"geo"}))
    play(recording, run_of(request), Success({}), state=S.SUCCEEDED)
    (span,) = recording.spans
    assert span.attributes["fanmesh.branch.required"] is True


@pytest.mark.parametrize(("queued", "told"), [(2_500_000, 2.5), (999_999, None)])
def test_a_wait_for_a_place_is_told(queued: int, told: float | None) -> None:
    """A branch begins when it is sent, so time in the queue would otherwise be a gap without a name."""
    recording = Recording()
    run = run_of(request_of(sampled(recording)))
    run.queued = queued
    play(recording, run, Success({}), state=S.SUCCEEDED)
    (span,) = recording.spans
    assert span.attributes.get("fanmesh.branch.queued_ms") == told


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        ([("cache_hit", "age 1.2s")], "hit"),
        ([("cache_joined", "in_flight")], "joined"),
        ([("cache_joined", "in_flight"), ("cache_takes_over", "leader_lost")], "miss"),
        ([("cache_joined", "in_flight"), ("cache_stale", "UNAVAILABLE, age 9.0s")], "stale"),
        ([("cache_bypassed", "key")], "bypassed"),
        ([("retry", "UNAVAILABLE")], "miss"),
        ([], "miss"),
    ],
)
def test_where_an_answer_came_from_is_told(notes: list[tuple[str, str]], told: str) -> None:
    """Of a branch that has a cache: by the last thing that was noted of it."""
    recording = Recording()
    run = run_of(request_of(sampled(recording)))
    run.node = replace(run.node, cache=CacheRule(ttl=1))
    for what, why in notes:
        run.note(what, why, 0)
    play(recording, run, state=S.SUCCEEDED)
    (span,) = recording.spans
    assert span.attributes["fanmesh.cache.result"] == told
    assert [event.name for event in span.events] == [what for what, _ in notes]


def test_a_branch_without_a_cache_says_nothing_of_it() -> None:
    """An attribute that means nothing is paid for in every span."""
    recording = Recording()
    play(recording, run_of(request_of(sampled(recording))), Success({}), state=S.SUCCEEDED)
    (span,) = recording.spans
    assert "fanmesh.cache.result" not in span.attributes


def test_a_branch_that_was_never_sent_has_a_span() -> None:
    """One span per branch, whatever happens; without a call it says nothing of one."""
    recording = Recording()
    play(recording, run_of(request_of(sampled(recording))), state=S.SKIPPED, reason=R.NOT_STARTED_NO_TIME)
    (span,) = recording.spans
    assert span.start == span.end
    assert not any(name.startswith(("rpc.", "server.", "fanmesh.attempt")) for name in span.attributes)


def test_a_local_worker_is_no_rpc() -> None:
    """A coroutine of this process is INTERNAL: a CLIENT without a server would draw a service that does not exist."""
    recording = Recording()
    play(recording, run_of(request_of(sampled(recording)), target=""), Success({}), state=S.SUCCEEDED)
    (span,) = recording.spans
    assert span.kind is SpanKind.INTERNAL
    assert "rpc.system.name" not in span.attributes


@pytest.mark.parametrize(
    ("address", "parts"),
    [("h:1", ("h", 1)), ("[::1]:50", ("::1", 50)), ("unix:/tmp/s", ("unix:/tmp/s", 0)), ("local", ("local", 0))],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    """Host and port are separate attributes; a path has no port."""
    assert address_of(address) == parts


# ---------------------------------------------------------------- requests


def request_span(report: Report | None, refusal: Refusal | None, method: str = "s/m") -> list[Recorded]:
    recording = Recording()
    spans = Spans(recording, Clock())
    request = request_of(sampled(recording), arrived=5)
    request.method = method
    spans.request_started(request)
    spans.request_ended(request, report, refusal, 25)
    return recording.spans


def a_report(mode: AggregatorMode = AggregatorMode.REMOTE) -> Report:
    rows = (
        BranchReport("geo", "geo", S.SUCCEEDED, merged=True, span_id=f"{7:016x}"),
        BranchReport("mail", "mail", S.FAILED, span_id=f"{8:016x}"),
        BranchReport("ip", "ip", S.DEFAULTED, R.WORKER_ERROR, merged=True, span_id=f"{9:016x}"),
    )
    degraded = Degraded(error=True)
    return Report("r1", "p", CompletedBy.ALL, Coverage(0.5), rows, degraded, route="default", aggregator_mode=mode)


def test_the_request_is_the_callers_child() -> None:
    """SERVER, named by the plan, from arrival to reply, with the report in a line."""
    (span,) = request_span(a_report(), None)
    assert (span.name, span.kind, span.ids.span_id, span.parent) == ("dispatch p", SpanKind.SERVER, 1, 0x00F067AA0BA902B7)
    assert (span.remote, span.error, span.end - span.start) == (True, None, 20)
    assert span.ids.tracestate == "a=1"
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "s/m",
        "rpc.response.status_code": "OK",
        "fanmesh.request_id": "r1",
        "fanmesh.plan": "p",
        "fanmesh.route": "default",
        "fanmesh.completed_by": "ALL",
        "fanmesh.complete": False,
        "fanmesh.coverage": 0.5,
        "fanmesh.aggregator_mode": "REMOTE",
        "fanmesh.degraded": ("error",),
    }


def test_a_merge_in_this_process_is_a_span_with_links() -> None:
    """A trace reads the same in both modes: a child of the request, linked to what it merged; a default is no answer."""
    merge, request = request_span(a_report(AggregatorMode.EMBEDDED), None)
    assert (merge.name, merge.parent) == ("aggregate", request.ids.span_id)
    assert [link.span_id for link in merge.links] == [7]


@pytest.mark.parametrize(("fates", "linked"), [((Success({}),), 2), ((Fault.internal(), Success({})), 3)])
def test_a_merge_in_this_process_is_linked_to_the_attempt_that_won(fates: tuple[Fault | Success, ...], linked: int) -> None:
    """As the aggregator's own span is: the first attempt is the branch's span, any other has its own. Nothing is kept."""
    recording = Recording()
    spans = Spans(recording, Clock())
    run = run_of(request_of(sampled(recording)))
    spans.branch_started(run)
    for fate in fates:
        attempt = attempt_of(run, 0, AttemptKind.RETRY if run.attempts else AttemptKind.FIRST)
        spans.attempt_started(attempt)
        spans.attempt_ended(ended(attempt, fate, 10))
    spans.branch_ended(closed(run, S.SUCCEEDED))
    row = BranchReport("geo", "geo", S.SUCCEEDED, merged=True, span_id=f"{2:016x}")
    report = Report("r1", "p", CompletedBy.ALL, Coverage(1.0), (row,), aggregator_mode=AggregatorMode.EMBEDDED)
    for asked in (linked, 2):
        spans.request_ended(run.request, report, None, 25)
        merge = recording.spans[-2]
        assert (merge.name, [link.span_id for link in merge.links]) == ("aggregate", [asked])


def test_a_branch_that_ends_after_its_request_is_not_remembered() -> None:
    """The merge has been recorded; what is kept for it would be kept for ever."""
    recording = Recording()
    spans = Spans(recording, Clock())
    run = run_of(request_of(sampled(recording)))
    spans.branch_started(run)
    for fate in (Fault.internal(), Success({})):
        attempt = attempt_of(run, 0)
        spans.attempt_started(attempt)
        spans.attempt_ended(ended(attempt, fate, 10))
    run.ended_at = 5
    spans.branch_ended(closed(run, S.CANCELLED, R.SOFT_TIMEOUT))
    assert spans._winners == {}


@pytest.mark.parametrize(
    ("code", "error"),
    [(Code.UNAVAILABLE, "WHY"), (Code.DEADLINE_EXCEEDED, "WHY"), (Code.NOT_FOUND, None), (Code.CANCELLED, None)],
)
def test_only_our_own_failures_are_errors(code: Code, error: str | None) -> None:
    """What the caller did wrong does not mark a SERVER span. Source: OpenTelemetry's conventions for gRPC."""
    (span,) = request_span(None, Refusal(code, "WHY", "quotes the input"))
    assert (span.name, span.error) == ("dispatch", error)
    assert span.attributes["fanmesh.refusal"] == "WHY"
    assert span.attributes.get("error.type") == (code.name if error else None)
    assert "quotes" not in str(span)


def test_without_a_server_the_request_is_internal() -> None:
    """The embedded engine serves nobody."""
    (span,) = request_span(a_report(), None, method="")
    assert span.kind is SpanKind.INTERNAL
    assert "rpc.method" not in span.attributes


def test_an_unsampled_request_is_not_recorded() -> None:
    """Nothing at all."""
    recording = Recording()
    spans = Spans(recording, Clock())
    request = request_of(Trace(UNSAMPLED))
    spans.request_started(request)
    spans.request_ended(request, a_report(), None, 1)
    assert recording.spans == []


def test_spans_follow_the_wall_clock_in_steps() -> None:
    """A correction of the clock moves later requests; jitter below a millisecond moves nothing."""
    recording, clock = Recording(), Clock()
    spans = Spans(recording, clock)
    starts = []
    for shift in (0, 1000, SECOND):
        recording.time += shift
        request = request_of(sampled(recording))
        spans.request_started(request)
        spans.request_ended(request, a_report(), None, 1)
        starts.append(recording.spans[-1].start)
    assert (starts[1] - starts[0], starts[2] - starts[0]) == (0, SECOND + 1000)
