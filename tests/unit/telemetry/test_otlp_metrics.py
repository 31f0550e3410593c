"""What is pushed over OTLP, read as the bytes that leave; and when anything is pushed at all."""

from __future__ import annotations

import threading
from typing import Any, Final

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource

from fanmesh.model.times import MS, SECOND
from fanmesh.runtime import otlp_metrics, telemetry
from fanmesh.runtime.environ import BadVariable
from fanmesh.runtime.histograms import Counter, Gauge, Histogram, Tally
from fanmesh.runtime.metrics import Families, Family
from fanmesh.runtime.otlp_metrics import Pusher, snapshot
from tests.kit.otlp import attributes_of

BEGAN, NOW = 10, 20
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
NOBODY: Final = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENDPOINT, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_METRICS_EXPORTER", "OTEL_METRIC_EXPORT_INTERVAL"):
        monkeypatch.delenv(name, raising=False)


def sent(*families: Family) -> dict[str, Metric]:
    """What would be sent, by name."""
    request = encode_metrics(snapshot(families, Resource({"a": "b"}), BEGAN, NOW))
    (resource,) = request.resource_metrics
    assert attributes_of(resource.resource.attributes) == {"a": "b"}
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "fanmesh"
    return {metric.name: metric for metric in scope.metrics}


def test_counters_are_cumulative_sums() -> None:
    """Monotonic, since the process began, under the Prometheus name, one point for each set of labels, as integers."""
    counter = Counter("a_total", "what", ("plan", "cause"))
    counter.add(("p", "error"), 2)
    counter.add(("q", "late"))
    tally = Tally("t_total", "kept elsewhere", lambda: {("w",): 2**60}, ("worker",))
    found = sent(counter, tally)
    for metric in found.values():
        assert metric.sum.is_monotonic
        assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        assert {(point.start_time_unix_nano, point.time_unix_nano) for point in metric.sum.data_points} == {(BEGAN, NOW)}
    assert (found["a_total"].description, found["a_total"].unit) == ("what", "")
    assert [(attributes_of(point.attributes), point.as_int) for point in found["a_total"].sum.data_points] == [
        ({"plan": "p", "cause": "error"}, 2),
        ({"plan": "q", "cause": "late"}, 1),
    ]
    assert [point.as_int for point in found["t_total"].sum.data_points] == [2**60]


def test_gauges_are_read_at_the_time() -> None:
    """The value of now, as a double also where it is whole; seconds say that they are."""
    value = {("w",): 1}
    gauge = Gauge("lag_seconds", "g", lambda: value, ("worker",))
    value["w",] = 3
    metric = sent(gauge)["lag_seconds"]
    assert metric.unit == "s"
    assert [(point.as_double, point.WhichOneof("value")) for point in metric.gauge.data_points] == [(3.0, "as_double")]


def test_histograms_keep_their_buckets() -> None:
    """Bounds and sum in the unit, counts by bucket and not cumulated, +Inf last; no least and greatest that nobody knows."""
    histogram = Histogram("d_seconds", "h", ("plan",), (5 * MS, 10 * MS), SECOND)
    for value in (1, 5, 7, 5000):
        histogram.add(("p",), value * MS, "ab" * 16)
    (point,) = sent(histogram)["d_seconds"].histogram.data_points
    assert (list(point.explicit_bounds), list(point.bucket_counts)) == ([0.005, 0.01], [2, 1, 1])
    assert (point.count, point.sum) == (4, 5.013)
    assert not point.HasField("min")
    assert not point.HasField("max")
    assert list(point.exemplars) == []


def test_what_has_no_series_is_left_out() -> None:
    """A metric without a point says nothing."""
    assert sent(Counter("a_total", "", ("l",)), Gauge("g", "", dict)) == {}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: NOBODY, "OTEL_METRICS_EXPORTER": "none"},
        {ENDPOINT: NOBODY, "OTEL_METRICS_EXPORTER": "prometheus"},
        {ENDPOINT: NOBODY, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": NOBODY},
    ],
)
def test_nothing_is_pushed_without_being_asked(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """No endpoint for metrics, or an explicit no: nothing connects, no thread runs."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert otlp_metrics.start(Families(), "s") is None
    assert not running()


@pytest.mark.parametrize("name", [ENDPOINT, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"])
@pytest.mark.parametrize("exporters", ["", "otlp", "prometheus, otlp"])
def test_a_collector_that_is_gone_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch, name: str, exporters: str) -> None:
    """Either endpoint starts it; close() ends the exporter's retries when its time is up, and leaves nothing running."""
    monkeypatch.setenv(name, NOBODY)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", exporters)
    pusher = otlp_metrics.start(Families([Gauge("g", "", lambda: {(): 1})]), "s")
    assert pusher is not None
    assert running()
    pusher.close(0.05)
    assert not running()


@pytest.mark.parametrize("interval", ["0", "-5", "soon"])
def test_an_interval_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, interval: str) -> None:
    """By the variable's name."""
    monkeypatch.setenv(ENDPOINT, NOBODY)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", interval)
    with pytest.raises(BadVariable, match="OTEL_METRIC_EXPORT_INTERVAL"):
        otlp_metrics.start(Families(), "s")


class Collected:
    """An exporter that keeps what it is given; `fails` pushes are lost to an exception first."""

    def __init__(self, fails: int = 0) -> None:
        self.given: list[MetricsData] = []
        self.pushed = threading.Semaphore(0)
        self.shut = 0
        self._fails = fails

    def export(self, data: MetricsData, **_: Any) -> None:
        """Take it."""
        self.given.append(data)
        self.pushed.release()
        if len(self.given) <= self._fails:
            raise ValueError("no")

    def shutdown(self) -> None:
        """Count it."""
        self.shut += 1


def pusher(exporter: Collected, interval: float, *families: Family) -> Pusher:
    made = Pusher(Families(families), exporter, Resource({}), interval)  # type: ignore[arg-type]  # what is used of one
    made.start()
    return made


def test_it_pushes_again_and_again() -> None:
    """Every interval, with what there is by then; a push that failed does not end the others."""
    exporter, counter = Collected(fails=1), Counter("a_total", "")
    made = pusher(exporter, 0.001, counter)
    for _ in range(3):
        assert exporter.pushed.acquire(timeout=10)
        counter.add()
    made.close()
    assert exporter.shut == 1


def test_the_end_pushes_what_is_left() -> None:
    """close() does not wait for the interval: the last numbers are on their way before it returns."""
    exporter, counter = Collected(), Counter("a_total", "")
    made = pusher(exporter, 3600.0, counter)
    counter.add((), 7)
    made.close()
    (data,) = exporter.given
    assert encode_metrics(data).resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].as_int == 7
    assert not running()


def test_processes_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a service.instance.id, and it is drawn unless the environment gives one, as manifests do."""
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    assert otlp_metrics.resource("s").attributes["service.instance.id"]
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7")
    assert otlp_metrics.resource("s").attributes["service.instance.id"] == "pod-7"
    assert otlp_metrics.resource("s", "1.0").attributes["service.name"] == telemetry.resource("s").attributes["service.name"]


def running() -> bool:
    """Whether a pushing thread is alive."""
    return any(thread.name == "fanmesh-metrics-push" for thread in threading.enumerate())
