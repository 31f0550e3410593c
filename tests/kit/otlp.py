"""A real OTLP receiver for tests: rotel takes spans and metrics over OTLP/gRPC and hands them on, over OTLP again, to the test.

    system under test ──OTLP/gRPC──▶ rotel (its own process) ──OTLP/gRPC──▶ Sink (in the test)

An in-memory exporter would prove only that the SDK agrees with itself.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.kit.waiting import until

AGENT = str(resources.files("rotel") / "rotel-agent")


@dataclass(frozen=True, slots=True)
class SpanData:
    """One exported span. Ids are lower-case hex, empty = none; times are Unix ns; `kind` and `status` as OTLP names them."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    service: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    status: str
    message: str
    tracestate: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """One push of one process: its resource, and its metrics by name."""

    resource: dict[str, Any]
    metrics: dict[str, Metric]


class Receiver:
    """`with Receiver(tmp_path) as receiver:`; point OTEL_EXPORTER_OTLP_ENDPOINT at `receiver.endpoint`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sink = Sink()
        self._metrics = MetricsSink()
        self._agent: subprocess.Popen[bytes] | None = None
        self._server = grpc.server(ThreadPoolExecutor(max_workers=2))
        self.endpoint = ""

    def start(self) -> None:
        """Start both, and return when rotel accepts connections."""
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self._sink, self._server)  # type: ignore[no-untyped-call]  # generated
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self._metrics, self._server)  # type: ignore[no-untyped-call]
        sink = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        ours, http = free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{ours}"
        with (self._directory / "rotel.out").open("wb") as out:
            self._agent = subprocess.Popen(
                [
                    *(AGENT, "start", "--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{sink}"),
                    *("--otlp-grpc-endpoint", f"127.0.0.1:{ours}", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
                    *("--batch-timeout", "20ms"),
                    *("--pid-file", self._directory / "rotel.pid", "--log-file", self._directory / "rotel.log"),
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        until(lambda: accepts(ours) or self._agent_gone(), "rotel to listen")
        if self._agent_gone():
            raise RuntimeError(f"rotel did not start: {(self._directory / 'rotel.out').read_text()}")

    def spans(self, at_least: int = 0, within: float = 15.0) -> list[SpanData]:
        """All spans so far; waits until there are `at_least` that many, AssertionError if they do not come."""
        return self._sink.wait(at_least, within)

    def pushes(self, enough: Callable[[list[Pushed]], bool] = bool, within: float = 15.0) -> list[Pushed]:
        """All pushes of metrics so far; waits until they are `enough`, AssertionError if they do not come."""
        return self._metrics.wait(enough, within)

    def stop(self) -> None:
        """End rotel, which first hands on what it still holds, then the sink."""
        if self._agent is not None:
            self._agent.terminate()
            try:
                self._agent.wait(10)
            except subprocess.TimeoutExpired:
                self._agent.kill()
                self._agent.wait()
            self._agent = None
        self._server.stop(1).wait()

    def _agent_gone(self) -> bool:
        return self._agent is not None and self._agent.poll() is not None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what rotel hands on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spans: list[SpanData] = []

    def Export(  # noqa: N802  (the RPC's name)
        self,
        request: trace_service_pb2.ExportTraceServiceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take a batch."""
        batch = []
        for resource in request.resource_spans:
            service = str(attributes_of(resource.resource.attributes).get("service.name", ""))
            batch += [span_of(span, service) for scope in resource.scope_spans for span in scope.spans]
        with self._changed:
            self._spans += batch
            self._changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def wait(self, at_least: int, within: float) -> list[SpanData]:
        """A copy, once there are enough."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self._spans) >= at_least, within)
            assert enough, f"{len(self._spans)} of {at_least} spans came within {within} s"
            return list(self._spans)


class MetricsSink(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the metrics."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pushes: list[Pushed] = []

    def Export(  # noqa: N802  (the RPC's name)
        self,
        request: metrics_service_pb2.ExportMetricsServiceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        """Take a batch."""
        batch = [
            Pushed(
                attributes_of(resource.resource.attributes),
                {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics},
            )
            for resource in request.resource_metrics
        ]
        with self._changed:
            self._pushes += batch
            self._changed.notify_all()
        return metrics_service_pb2.ExportMetricsServiceResponse()

    def wait(self, enough: Callable[[list[Pushed]], bool], within: float) -> list[Pushed]:
        """A copy, once they are enough."""
        with self._changed:
            came = self._changed.wait_for(lambda: enough(self._pushes), within)
            assert came, f"of metrics only {len(self._pushes)} pushes came within {within} s"
            return list(self._pushes)


def span_of(span: Span, service: str) -> SpanData:
    return SpanData(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        service,
        attributes_of(span.attributes),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        type(span.status)
        .DESCRIPTOR.enum_types_by_name["StatusCode"]
        .values_by_number[span.status.code]
        .name.removeprefix("STATUS_CODE_"),
        span.status.message,
        span.trace_state,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
