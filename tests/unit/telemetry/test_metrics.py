import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dispatcher.model.request import Refusal, Trace
from dispatcher.wire.measures import Measures
from fanmesh.model.coverage import Coverage, Degraded
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Success
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import ms
from fanmesh.runtime.histograms import Counter, Histogram
from fanmesh.runtime.metrics import DURATIONS, RATIOS, Endpoint, Families, expose
from tests.kit.story import attempt_of, ended, request_of, run_of

S, R = BranchState, BranchReason
TRACE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", sampled=True)


def measures() -> Measures:
    return Measures(lag=lambda: ms(20), version=lambda: "v1")


def value(of: Measures, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(Families(of.families))
    return registry.get_sample_value(name, labels)


def a_report(mode: AggregatorMode = AggregatorMode.REMOTE) -> Report:
    rows = (
        BranchReport("geo", "geo", S.SUCCEEDED, elapsed=ms(30), sla_met=True),
        BranchReport("mail", "mail", S.DEFAULTED, R.SOFT_TIMEOUT, elapsed=ms(300), sla_met=False),
        BranchReport("rates", "rates", S.SKIPPED, R.CONDITION),
    )
    degraded = Degraded(soft_timeout=True, defaulted=True)
    return Report("r1", "p", CompletedBy.SOFT_TIMEOUT, Coverage(0.5), rows, degraded, aggregator_mode=mode)


# ---------------------------------------------------------------- what is counted


def test_a_request_is_counted_with_its_branches() -> None:
    """One observation of the request, one of each branch in its report, in the report's own words."""
    books = measures()
    request = request_of(arrived=ms(1000))
    books.request_started(request)
    assert value(books, "fanmesh_dispatch_in_flight") == 1
    books.request_ended(request, a_report(AggregatorMode.FELL_BACK), None, ms(1301))
    assert value(books, "fanmesh_dispatch_in_flight") == 0
    labels = {"plan": "p", "code": "OK", "completed_by": "SOFT_TIMEOUT"}
    assert value(books, "fanmesh_dispatch_duration_seconds_sum", **labels) == pytest.approx(0.301)
    assert value(books, "fanmesh_dispatch_duration_seconds_bucket", le="0.3", **labels) == 0
    assert value(books, "fanmesh_dispatch_duration_seconds_bucket", le="0.5", **labels) == 1
    assert value(books, "fanmesh_dispatch_coverage_ratio_sum", plan="p") == 0.5
    assert value(books, "fanmesh_dispatch_degraded_total", plan="p", cause="soft_timeout") == 1
    assert value(books, "fanmesh_dispatch_degraded_total", plan="p", cause="defaulted") == 1
    branch = "fanmesh_branch_duration_seconds"
    assert value(books, f"{branch}_sum", plan="p", branch="geo", state="SUCCEEDED", reason="NONE") == 0.03
    assert value(books, f"{branch}_count", plan="p", branch="mail", state="DEFAULTED", reason="SOFT_TIMEOUT") == 1
    assert value(books, f"{branch}_sum", plan="p", branch="rates", state="SKIPPED", reason="CONDITION") == 0
    assert value(books, "fanmesh_branch_sla_total", plan="p", branch="geo", met="true") == 1
    assert value(books, "fanmesh_branch_sla_total", plan="p", branch="mail", met="false") == 1
    assert value(books, "fanmesh_branch_sla_total", plan="p", branch="rates", met="false") is None
    assert value(books, "fanmesh_aggregator_fallback_total") == 1


def test_a_caller_cannot_invent_labels() -> None:
    """A request for a plan that does not exist is counted without the name that it gave."""
    books = measures()
    request = request_of()
    request.plan = "made-up"
    books.request_started(request)
    books.request_ended(request, None, Refusal(Code.NOT_FOUND, "PLAN_UNKNOWN", "made-up"), ms(1))
    assert value(books, "fanmesh_dispatch_duration_seconds_count", plan="", code="NOT_FOUND", completed_by="") == 1


@pytest.mark.parametrize(
    ("outcome", "kind", "code"),
    [
        (Success({}), AttemptKind.FIRST, "OK"),
        (Fault.unavailable(), AttemptKind.RETRY, "UNAVAILABLE"),
        (None, AttemptKind.HEDGE, "CANCELLED"),
    ],
)
def test_attempts_are_counted_by_worker_kind_and_code(outcome: Success | Fault | None, kind: AttemptKind, code: str) -> None:
    """One we cancelled counts as CANCELLED."""
    books = measures()
    books.attempt_ended(ended(attempt_of(run_of(request_of()), kind=kind), outcome))
    assert value(books, "fanmesh_attempts_total", worker="geo", kind=kind.name.lower(), code=code) == 1


def test_the_rest_is_counted_too() -> None:
    """Late answers, expressions, the loop's lag, the configuration; a counter without labels is there from the start as 0."""
    books = measures()
    assert value(books, "fanmesh_late_results_total") == 0
    books.late(run_of(request_of()))
    books.expression_error("if")
    assert value(books, "fanmesh_late_results_total") == 1
    assert value(books, "fanmesh_expression_errors_total", where="if") == 1
    assert value(books, "fanmesh_loop_lag_seconds") == 0.02
    assert value(books, "fanmesh_config_info", version="v1") == 1


# ---------------------------------------------------------------- how it is shown


@pytest.mark.parametrize(("observed", "bucket"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2)])
def test_bounds_are_inclusive(observed: int, bucket: int) -> None:
    """As Prometheus' `le` says."""
    histogram = Histogram("h", "H.", (), (10, 20), 1)
    histogram.add((), observed)
    assert histogram.series[()].counts.index(1) == bucket


def test_bounds_rise() -> None:
    """A histogram searches them by halves."""
    assert list(DURATIONS) == sorted(set(DURATIONS))
    assert list(RATIOS) == sorted(set(RATIOS))


def test_two_metrics_of_one_name_are_refused() -> None:
    """Prometheus would drop the whole scrape."""
    families = Families([Counter("a_total", "A.")])
    with pytest.raises(ValueError, match="a_total"):
        families.extend([Counter("a_total", "B.")])


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    books = measures()
    books.request_ended(request_of(TRACE), a_report(), None, ms(301))
    made = expose(Families(books.families))
    yield made
    made.close()


def scrape(endpoint: Endpoint, accept: str) -> tuple[str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{endpoint.port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310  (loopback)
        return reply.headers["Content-Type"], reply.read().decode()


def test_exemplars_carry_trace_ids(endpoint: Endpoint) -> None:
    """An OpenMetrics scrape parses, and its buckets lead to the trace of a request that fell into them."""
    content_type, text = scrape(endpoint, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]  # ships no types
    duration = families["fanmesh_dispatch_duration_seconds"]
    (example,) = [sample.exemplar for sample in duration.samples if sample.exemplar]
    assert (example.labels, example.value) == ({"trace_id": TRACE.trace_id}, pytest.approx(0.301))


def test_a_plain_scrape_works(endpoint: Endpoint) -> None:
    """Prometheus' own text format, for whoever asks for nothing else; no request id anywhere."""
    _, text = scrape(endpoint, "text/plain")
    assert 'fanmesh_config_info{version="v1"} 1.0' in text
    assert "r1" not in text


@pytest.mark.parametrize("path", ["", "/", "/metrics", "/metrics?of=us"])
def test_metrics_are_where_they_are_looked_for(endpoint: Endpoint, path: str) -> None:
    """At their path, and where somebody looks who knows only the port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}{path}", timeout=5) as reply:
        assert b"fanmesh_config_info" in reply.read()


@pytest.mark.parametrize("path", ["/healthz", "/metrics/x", "/favicon.ico"])
def test_no_other_path_is_there(endpoint: Endpoint, path: str) -> None:
    """A probe of a path that is not served is told so."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}{path}", timeout=5)
