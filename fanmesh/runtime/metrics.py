"""What was counted, as Prometheus reads it: one snapshot of the plain integers, made when somebody asks.

The endpoint runs in prometheus_client's own thread, not in the event loop: rendering thousands of series takes milliseconds,
in which no deadline would be kept. The thread copies each series with one call, which the interpreter does not interrupt, and
takes a histogram's count from that copy, so what it shows always adds up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from fanmesh.model.times import MS
from fanmesh.runtime.histograms import Buckets, Counter, Gauge, Histogram, Key, Tally

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Family: TypeAlias = Counter | Gauge | Histogram | Tally

DURATIONS: Final = tuple(n * MS for n in (1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 30_000))
"""Bounds in ns. Dense where budgets of a fan-out lie, because a quantile is no better than its bucket."""

PPM: Final = 1_000_000
"""Ratios are observed in millionths."""

RATIOS: Final = (*(n * PPM // 100 for n in (0, 10, 25, 50, 75, 90, 95, 99)), PPM - 1, PPM)
"""Bounds in millionths. The last but one parts a whole result from one that only rounds to it."""


class Families(Collector):
    """A prometheus_client collector over our own numbers."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._families = list(families)

    def extend(self, families: Iterable[Family]) -> None:
        """Show these too. ValueError if a name is taken."""
        for family in families:
            if any(family.about.name == other.about.name for other in self._families):
                raise ValueError(f"there is a metric {family.about.name} already")
            self._families.append(family)

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families)

    def collect(self) -> Iterator[Metric]:
        """The snapshot."""
        for family in self._families:
            match family:
                case Counter():
                    yield _counter(family, family.values.copy())
                case Tally():
                    yield _counter(family, family.read())
                case Gauge():
                    yield _gauge(family)
                case Histogram():
                    yield _histogram(family)


def _counter(family: Counter | Tally, values: Mapping[Key, int]) -> Metric:
    metric = CounterMetricFamily(family.about.name, family.about.help, labels=family.about.labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric


def _gauge(family: Gauge) -> Metric:
    metric = GaugeMetricFamily(family.about.name, family.about.help, labels=family.about.labels)
    for key, value in family.read().items():
        metric.add_metric(key, value)
    return metric


def _histogram(family: Histogram) -> Metric:
    metric = HistogramMetricFamily(family.about.name, family.about.help, labels=family.about.labels)
    limits = [*(str(bound / family.scale) for bound in family.bounds), "+Inf"]
    for key, series in family.series.copy().items():
        metric.add_metric(key, _cumulative(series, limits, family.scale), series.total / family.scale)
    return metric


def _cumulative(series: Buckets, limits: list[str], scale: int) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    rows: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    so_far = 0
    for limit, count, example in zip(limits, series.counts.copy(), series.examples.copy(), strict=True):
        so_far += count
        if example is None:
            rows.append((limit, so_far))
        else:
            rows.append((limit, so_far, Exemplar({"trace_id": example.trace_id}, example.value / scale)))
    return rows


class Endpoint:
    """`/metrics` over HTTP. `port` is the real one. Exemplars are there for clients that accept OpenMetrics."""

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread
        self.port = server.server_port

    def close(self) -> None:
        """Stop answering. Takes up to half a second; call it off the loop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def expose(families: Families, host: str = "127.0.0.1", port: int = 0) -> Endpoint:
    """Serve `families`; port 0 = a free one. OSError if the address is taken."""
    registry = CollectorRegistry()
    registry.register(families)
    server, thread = start_http_server(port, host, registry)
    server.set_app(_at_its_paths(make_wsgi_app(registry)))
    return Endpoint(server, thread)


def _at_its_paths(app: WSGIApplication) -> WSGIApplication:
    """The library's application at `/metrics` and `/` only: a probe of a path that is not there must not find it well."""

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in {"/metrics", "/", ""}:
            return app(environ, start)
        start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"metrics are at /metrics\n"]

    return answer
