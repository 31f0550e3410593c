"""What was counted, pushed over OTLP: the same snapshot that /metrics shows, as the exporter's own data.

The SDK's meters are left out, for the reason that the families exist at all: an instrument takes a lock and builds a set of
attributes per event, and a histogram, of which a fan-out has most, cannot be an observable one. So a thread reads the families
from time to time and hands `MetricsData` to the SDK's exporter, which connects, compresses and retries as everywhere.

Names are those of Prometheus, units and `_total` included: a dashboard or an alert works whichever way the numbers came. All is
cumulative, whatever the environment prefers: who keeps plain sums cannot forget what one of several readers has seen. Exemplars
stay on /metrics: OTLP wants their time and their span, which nobody keeps.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramPoints
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from fanmesh.runtime import environ, histograms, telemetry
from fanmesh.runtime.histograms import Histogram, Key
from fanmesh.runtime.logs import logger
from fanmesh.runtime.metrics import Families, Family

SCOPE: Final = InstrumentationScope("fanmesh")
CUMULATIVE: Final = AggregationTemporality.CUMULATIVE

INTERVAL: Final = 60_000
"""Milliseconds from one push to the next. Source: OpenTelemetry's default of OTEL_METRIC_EXPORT_INTERVAL."""

BATCH: Final = 4096
"""Points in a message: a histogram's takes about 500 bytes, and collectors refuse messages of more than 4 MiB."""

UNKNOWN: Final[Any] = None
"""A histogram's least and greatest value: optional in the protocol, though not in the SDK's types, and nobody keeps them."""


def start(families: Families, service: str, version: str = "") -> Pusher | None:
    """Push `families` from now on; None if the environment does not ask for it.

    Reads OTEL_EXPORTER_OTLP[_METRICS]_ENDPOINT and the exporter's other variables, OTEL_METRICS_EXPORTER (`otlp`, the default,
    or a list with it; `none` switches it off), OTEL_METRIC_EXPORT_INTERVAL (ms, ≥ 1, default 60000), and of the resource
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES; OTEL_SDK_DISABLED. BadVariable for an interval that is none. Without a
    `service.instance.id` the process draws one: two that are told apart by nothing would write into one series.
    """
    endpoint = environ.text("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") or environ.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    chosen = {name.strip() for name in environ.text("OTEL_METRICS_EXPORTER", "otlp").split(",")}
    if not endpoint or environ.flag("OTEL_SDK_DISABLED") or "otlp" not in chosen:
        return None
    interval = environ.integer("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL, least=1)
    exporter = OTLPMetricExporter(max_export_batch_size=BATCH)
    pusher = Pusher(families, exporter, resource(service, version), interval / 1000)
    pusher.start()
    return pusher


def resource(service: str, version: str = "") -> Resource:
    """Who counts: as spans have it.

    A `service.instance.id` is drawn if neither the environment gives one nor the SDK, which does so in its newer versions only.
    """
    return Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())}).merge(telemetry.resource(service, version))


class Pusher:
    """Hands a snapshot of `families` to `exporter` every `interval` seconds, and a last one when it is closed."""

    def __init__(self, families: Families, exporter: OTLPMetricExporter, resource: Resource, interval: float) -> None:
        self._families = families
        self._exporter = exporter
        self._resource = resource
        self._interval = interval
        self._began = time.time_ns()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fanmesh-metrics-push", daemon=True)

    def start(self) -> None:
        """Begin. The first push comes after one interval."""
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Push what there is, and end. Waits `timeout` seconds for a collector that does not answer; call it off the loop."""
        self._ending.set()
        self._thread.join(timeout)
        self._exporter.shutdown()  # ends its retries
        self._thread.join(1.0)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._ending.wait(self._interval)
            try:
                self._exporter.export(snapshot(self._families, self._resource, self._began, time.time_ns()))
            except Exception:  # noqa: BLE001  (one bad push must not end all that follow)
                logger("metrics").exception("metrics not pushed")


def snapshot(families: Iterable[Family], resource: Resource, began: int, now: int) -> MetricsData:
    """All series as of `now`, counted since `began`; Unix ns. A family without a series is left out."""
    found = [metric for family in families if (metric := _metric(family, began, now)) is not None]
    scope = ScopeMetrics(SCOPE, found, "")
    return MetricsData([ResourceMetrics(resource, [scope], resource.schema_url)])


def _metric(family: Family, began: int, now: int) -> Metric | None:
    about = family.about
    data: Gauge | Sum | HistogramPoints
    match family:
        case Histogram():
            data = HistogramPoints(_buckets(family, began, now), CUMULATIVE)
        case histograms.Gauge():
            data = Gauge(_numbers(about.labels, {key: float(value) for key, value in family.read().items()}, began, now))
        case histograms.Counter():
            data = Sum(_numbers(about.labels, family.values.copy(), began, now), CUMULATIVE, is_monotonic=True)
        case histograms.Tally():
            data = Sum(_numbers(about.labels, family.read(), began, now), CUMULATIVE, is_monotonic=True)
    # A unit of "1" would make Prometheus append `_ratio` to the name of a gauge.
    return Metric(about.name, about.help, "s" if about.name.endswith("_seconds") else "", data) if data.data_points else None


def _numbers(labels: Key, values: Mapping[Key, int | float], began: int, now: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(zip(labels, key, strict=True)), began, now, value) for key, value in values.items()]


def _buckets(family: Histogram, began: int, now: int) -> list[HistogramDataPoint]:
    """One copy of a series' counts gives its buckets and its count, so they always add up."""
    bounds = [bound / family.scale for bound in family.bounds]
    points = []
    for key, series in family.series.copy().items():
        counts = series.counts.copy()
        attributes = dict(zip(family.about.labels, key, strict=True))
        total = series.total / family.scale
        points.append(HistogramDataPoint(attributes, began, now, sum(counts), total, counts, bounds, UNKNOWN, UNKNOWN))
    return points
