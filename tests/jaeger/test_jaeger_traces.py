"""What an operator sees in Jaeger, held against what the caller was told in the report of the same request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from sample_workers.demo import cast, plans
from tests.jaeger.asking import CLIENT, FAILING, MESH, OVERDUE, SILENT, STUMBLING, Asked
from tests.jaeger.backend import Span, Trace
from tests.jaeger.told import Told, expected
from tests.kit.programs import ROOT

AGGREGATE: Final = "fanmesh.v1.AggregatorService/Aggregate"
PROCESS: Final = "fanmesh.v1.WorkerService/Process"
ERRORS: Final = {BranchState.FAILED, BranchState.TIMED_OUT, BranchState.REJECTED}
SKEW: Final = re.compile("clock skew adjustment disabled")
"""Jaeger says this of a child that ends after its parent, and moves nothing: a cancelled call ends first at the caller."""

R = BranchReason


def service(asked: Asked) -> str:
    """The dispatcher that served it."""
    return "dispatcher_2" if asked.remote else "dispatcher"


def rows(asked: Asked) -> list[BranchReport]:
    """Its branches that entered their layers; one that was excluded has no span."""
    return [row for row in asked.report.branches if row.span_id]


def state(row: BranchReport, tags: dict[str, object]) -> str:
    """The branch's own state in a span; the report shows the default that stands in for it."""
    if row.state is BranchState.DEFAULTED:
        assert tags["fanmesh.branch.state"] != "DEFAULTED"
        return str(tags["fanmesh.branch.state"])
    return row.state.name


def attempts(trace: Trace, row: BranchReport) -> list[Span]:
    """The spans of its attempts, in their order. The first is that of the branch."""
    branch = trace.one(f"branch {row.branch}")
    further = [span for span in trace.below(branch) if span.name == f"attempt {row.branch}"]
    return [branch, *sorted(further, key=lambda span: int(span.tags["fanmesh.attempt.number"]))] if row.attempts else []


def test_every_request_is_one_trace(told: Told) -> None:
    """Its root is the client's span, every other span has a parent in the same trace, and none is there twice or lost."""
    assert len({asked.trace_id for asked, _ in told.pairs}) == len(told.pairs) > 10
    for asked, trace in told.pairs:
        assert asked.report.trace_id == asked.trace_id
        known = {span.id for span in trace.spans}
        assert len(known) == len(trace.spans) == expected(asked), asked.name
        (root,) = (span for span in trace.spans if not span.parent)
        assert (root.service, root.kind, root.id) == (CLIENT, "client", asked.headers["traceparent"][36:52])
        assert {span.parent for span in trace.spans} - {""} <= known
        assert all(SKEW.search(warning) for span in trace.spans for warning in span.warnings), asked.name


def test_every_process_is_a_service(told: Told) -> None:
    """An operator finds each by its own name."""
    workers = {*cast.HEALTHY, *cast.REPLICAS, "ill", *STUMBLING}
    assert told.jaeger.services() >= {CLIENT, "dispatcher", "dispatcher_2", "aggregator", *workers}


def test_the_request_says_how_it_ended(told: Told) -> None:
    """Child of the caller's span, SERVER, with the report in a line."""
    for asked, trace in told.pairs:
        report, span = asked.report, trace.one("dispatch ")
        assert (span.name, span.service, span.kind, span.failed) == (f"dispatch {report.plan}", service(asked), "server", False)
        assert span.parent == asked.headers["traceparent"][36:52]
        said = {name.removeprefix("fanmesh."): value for name, value in span.tags.items() if name.startswith("fanmesh.")}
        degraded = said.pop("degraded", "[]")
        assert all(f'"{name}"' in degraded for name in report.degraded.names())
        assert said.pop("route", "") == report.route
        assert said == {
            "request_id": report.request_id,
            "plan": report.plan,
            "completed_by": report.completed_by.name,
            "complete": report.complete,
            "coverage": pytest.approx(report.coverage.ratio),
            "aggregator_mode": report.aggregator_mode.name,
        }


def test_a_branch_is_what_its_row_says(told: Told) -> None:
    """Child of the request, CLIENT, with state and reason; in red only if it failed, and not if it was given up."""
    for asked, trace in told.pairs:
        request = trace.one("dispatch ")
        assert {span.name for span in trace.named("branch ")} == {f"branch {row.branch}" for row in rows(asked)}
        for row in rows(asked):
            span = trace.one(f"branch {row.branch}")
            assert (span.id, span.parent, span.kind, span.service) == (row.span_id, request.id, "client", service(asked))
            assert span.tags["fanmesh.plan"] == asked.report.plan
            assert (span.tags["fanmesh.branch"], span.tags["fanmesh.worker"]) == (row.branch, row.worker)
            assert (span.tags["fanmesh.branch.required"], span.tags["fanmesh.branch.weight"]) == (row.required, row.weight)
            assert span.tags["fanmesh.branch.state"] == state(row, span.tags)
            assert span.tags.get("fanmesh.branch.reason", "NONE") == row.reason.name
            assert span.tags.get("fanmesh.branch.attempts", 1) == max(1, len(row.attempts))
            failed = BranchState[span.tags["fanmesh.branch.state"]] in ERRORS
            assert span.failed is failed
            assert span.tags.get("error.type") == (row.reason.name if failed else None)
            assert span.tags.get("otel.status_code") == ("ERROR" if failed else None)


def test_an_attempt_is_what_the_report_says(told: Told) -> None:
    """The first is the branch's span, each further one a child of it, with kind, endpoint, code, and whether it won."""
    for asked, trace in told.pairs:
        for row in rows(asked):
            spans = attempts(trace, row)
            assert len(spans) == len(row.attempts)
            for span, attempt in zip(spans, row.attempts, strict=True):
                assert (span.kind, span.service) == ("client", service(asked))
                assert (span.tags["rpc.system.name"], span.tags["rpc.method"]) == ("grpc", PROCESS)
                assert span.tags["fanmesh.attempt.number"] == attempt.number
                assert span.tags["fanmesh.attempt.kind"] == attempt.kind.name.lower()
                assert span.tags["fanmesh.attempt.won"] is attempt.won
                assert f"{span.tags['server.address']}:{span.tags['server.port']}" == attempt.endpoint
                cut = span is spans[0] and row.reason is R.HARD_TIMEOUT
                assert span.code == ("DEADLINE_EXCEEDED" if cut else Code(attempt.code).name)
                if span is not spans[0]:
                    assert span.failed is (attempt.code != 0 and not attempt.cancelled)


def test_every_call_has_the_workers_side_below_it(told: Told) -> None:
    """A SERVER span in the worker's own process, which saw the same request, and the cancellation of what was given up."""
    for asked, trace in told.pairs:
        calls = [span for row in rows(asked) for span in attempts(trace, row)]
        for call in calls:
            (served,) = (span for span in trace.below(call) if not span.name.startswith("attempt "))
            assert (served.name, served.kind) == (PROCESS, "server")
            assert served.service not in {CLIENT, "dispatcher", "dispatcher_2", "aggregator"}
            assert served.tags["fanmesh.request_id"] == asked.report.request_id
            assert served.tags["fanmesh.branch"] == call.tags["fanmesh.branch"]
            if call.code in {"CANCELLED", "DEADLINE_EXCEEDED"}:
                assert served.code in {"CANCELLED", "DEADLINE_EXCEEDED"}


def test_a_decision_is_an_event_on_its_branch(told: Told) -> None:
    """What the report lists under decisions: what, why, which endpoint, in order, and within the time of the branch."""
    seen: set[str] = set()
    for asked, trace in told.pairs:
        for row in rows(asked):
            span = trace.one(f"branch {row.branch}")
            events = []
            for event in span.events:
                where = event.attributes
                address = f"{where['server.address']}:{where['server.port']}" if "server.address" in where else ""
                events.append((event.name, where["fanmesh.policy.why"], address))
                assert span.start <= event.at <= span.end
            assert events == [(one.what, one.why, one.endpoint) for one in row.decisions]
            seen.update(what for what, _, _ in events)
    assert seen >= {"hedge", "retry", "breaker_open", "refused"}


def test_the_merge_is_linked_to_what_is_in_the_result(told: Told) -> None:
    """Child of the request, linked to the attempt that each merged answer came from: the hedge and not the call it saved.

    Alike whether the aggregator is a process of its own or runs in the dispatcher.
    """
    for asked, trace in told.pairs:
        merge = trace.one(AGGREGATE if asked.remote else "aggregate")
        assert merge.parent == trace.one("dispatch ").id
        assert (merge.service, merge.kind) == (("aggregator", "server") if asked.remote else ("dispatcher", "internal"))
        merged = [row for row in rows(asked) if row.merged]
        winners = [span.id for row in merged for span in attempts(trace, row) if span.tags["fanmesh.attempt.won"]]
        assert sorted(merge.links) == sorted(winners), asked.name


@pytest.mark.parametrize(
    ("name", "branch", "ending", "code"),
    [
        ("soft timeout", "ip", "CANCELLED/SOFT_TIMEOUT", "CANCELLED"),
        ("soft timeout, embedded", "ip", "CANCELLED/SOFT_TIMEOUT", "CANCELLED"),
        ("first wins", "ip", "CANCELLED/COMPLETION_MET", "CANCELLED"),
        ("hard timeout", "ip", "TIMED_OUT/HARD_TIMEOUT", "DEADLINE_EXCEEDED"),
        ("rubbish", "email", "FAILED/INVALID_RESPONSE", "INTERNAL"),
        ("three failures", "tax_id", "FAILED/WORKER_ERROR", "UNAVAILABLE"),
        ("everything", "holiday", "REJECTED/BREAKER_OPEN", ""),
    ],
)
def test_endings_can_be_told_apart(told: Told, name: str, branch: str, ending: str, code: str) -> None:
    """A soft timeout, a hard one, a branch that was not needed any more, a failed one, a refused one: each by two tags."""
    span = told.traces[name].one(f"branch {branch}")
    assert f"{span.tags['fanmesh.branch.state']}/{span.tags['fanmesh.branch.reason']}" == ending
    assert (span.code, span.failed) == (code, not ending.startswith("CANCELLED"))


@pytest.mark.parametrize("name", ["everything", "everything, embedded"])
def test_a_request_with_every_trouble_can_be_read(told: Told, name: str) -> None:
    """A hedge that won against a silent call, a retry that answered, a refusal, rubbish, a soft timeout, plain answers."""
    asked, trace = told.asked[name], told.traces[name]
    kinds = {row.branch: [attempt.kind.name for attempt in row.attempts] for row in rows(asked)}
    ended = {row.branch: (row.state.name, row.reason.name, kinds[row.branch]) for row in rows(asked)}
    assert ended == {
        "phone": ("SUCCEEDED", "NONE", ["FIRST"]),
        "tax_id": ("SUCCEEDED", "NONE", ["FIRST", "HEDGE"]),
        "place": ("SUCCEEDED", "NONE", ["FIRST"]),
        "ip": ("DEFAULTED", "SOFT_TIMEOUT", ["FIRST"]),
        "email": ("SUCCEEDED", "NONE", ["FIRST", "RETRY"]),
        "holiday": ("REJECTED", "BREAKER_OPEN", []),
        "rates": ("FAILED", "INVALID_RESPONSE", ["FIRST"]),
    }
    first, hedge = attempts(trace, asked.report["tax_id"])
    assert (first.code, first.failed, hedge.code, first.start < hedge.start) == ("CANCELLED", False, "OK", True)
    assert {first.tags["fanmesh.worker"], trace.one("branch email").tags["fanmesh.worker"]} == {SILENT, FAILING}
    failed, retry = attempts(trace, asked.report["email"])
    assert (failed.code, failed.failed, retry.code, failed.start < retry.start) == ("UNAVAILABLE", False, "OK", True)
    assert not trace.below(trace.one("branch holiday"))


def test_a_branch_whose_condition_does_not_hold_has_no_span(told: Told) -> None:
    """Nothing was done for it; the report says why."""
    asked = told.asked["two conditions"]
    excluded = {row.branch for row in asked.report.branches if row.reason is R.CONDITION}
    assert excluded == {"tax_id", "rates"}
    assert not any(told.traces["two conditions"].named(f"branch {branch}") for branch in excluded)


def test_what_the_caller_does_not_sample_is_not_there(told: Told) -> None:
    """No process begins a trace of its own for it."""
    assert told.asked["not sampled"].report.complete
    assert told.jaeger.trace(told.asked["not sampled"].trace_id) is None


# ---------------------------------------------------------------- docs/tracing.md


def has(what: Callable[[BranchReport], bool]) -> Callable[[Report], bool]:
    """Whether a branch of the report is so."""
    return lambda report: any(what(row) for row in report.branches)


FINDS: Final[dict[str, Callable[[Report], bool]]] = {
    "fanmesh.complete=false": lambda report: not report.complete,
    "fanmesh.completed_by=SOFT_TIMEOUT": lambda report: report.completed_by.name == "SOFT_TIMEOUT",
    "fanmesh.branch.reason=SOFT_TIMEOUT": has(lambda row: row.reason is R.SOFT_TIMEOUT),
    "fanmesh.branch.state=TIMED_OUT": has(lambda row: row.state is BranchState.TIMED_OUT),
    "fanmesh.branch.state=FAILED": has(lambda row: row.state is BranchState.FAILED or row.reason is R.WORKER_ERROR),
    "fanmesh.branch.reason=COMPLETION_MET": has(lambda row: row.reason is R.COMPLETION_MET),
    "event=hedge": has(lambda row: any(one.kind is AttemptKind.HEDGE for one in row.attempts)),
    "fanmesh.attempt.kind=hedge fanmesh.attempt.won=true": has(
        lambda row: any(one.kind is AttemptKind.HEDGE and one.won for one in row.attempts)
    ),
    "event=retry": has(lambda row: any(one.kind is AttemptKind.RETRY for one in row.attempts)),
    "event=breaker_open": has(lambda row: any(one.what == "breaker_open" for one in row.decisions)),
    "fanmesh.branch.reason=BREAKER_OPEN": has(lambda row: row.reason is R.BREAKER_OPEN),
    "fanmesh.attempt.kind=probe": has(lambda row: any(one.kind is AttemptKind.PROBE for one in row.attempts)),
}
"""What each search of docs/tracing.md finds, by the reports."""

RARE: Final = {"fanmesh.attempt.kind=probe"}
"""What a run need not hold."""


def test_the_searches_of_the_documentation_find_what_they_say(told: Told) -> None:
    """Every row of its table, typed into Jaeger's search, finds exactly the requests whose report says so."""
    text = (ROOT / "docs" / "tracing.md").read_text("utf-8")
    section = text.partition("## Find it")[2].partition("\n## ")[0]
    searches = re.findall(r"^\| [^|]+ \| `([^`]+)` \|", section, re.MULTILINE)
    assert sorted(searches) == sorted(FINDS)
    for tags in searches:
        asked = dict(pair.split("=") for pair in tags.split())
        found = set().union(*(told.jaeger.search(where, asked) for where in ("dispatcher", "dispatcher_2")))
        wanted = {one.trace_id for one, _ in told.pairs if FINDS[tags](one.report)}
        assert found == wanted, tags
        assert found or tags in RARE, tags


def test_the_documentation_names_every_tag(told: Told) -> None:
    """No attribute and no event that Fanmesh sets is missing from docs/tracing.md."""
    text = (ROOT / "docs" / "tracing.md").read_text("utf-8")
    names = {name for _, trace in told.pairs for span in trace.spans for name in span.tags if name.startswith("fanmesh.")}
    names |= {event.name for _, trace in told.pairs for span in trace.spans for event in span.events}
    assert {name for name in names if f"`{name}`" not in text} == set()
    assert {MESH, OVERDUE, plans.HANGS} <= {asked.report.plan for asked, _ in told.pairs}
