"""A collector of spans, as small as one can be: takes OTLP over gRPC from all processes of the demo, and keeps it.

Not a trace server, because the demo needs nothing installed; over the wire and not out of the processes' memory, because what
is claimed is that the trace arrives where an operator looks.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Exported

from fanmesh.runtime.traceparent import Ids, render
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Routes, Server, ServerCall

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
KEPT: Final = 20_000
"""Spans; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are lower-case hex, `parent` empty = a root; times are Unix ns; `links` are span ids."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    service: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    start: int
    end: int

    @property
    def code(self) -> str:
        """The gRPC status that the call ended with, as this side of it saw it."""
        return str(self.attributes.get("rpc.response.status_code", ""))

    @property
    def branch(self) -> str:
        """The branch it belongs to, or empty."""
        return str(self.attributes.get("fanmesh.branch", ""))


Trace = list[Span]


class Collector:
    """`start`, then point OTEL_EXPORTER_OTLP_ENDPOINT at `endpoint`."""

    def __init__(self) -> None:
        self._spans: deque[Span] = deque(maxlen=KEPT)
        self._arrived = asyncio.Event()
        self._server: Server | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens, as the exporters' variable wants it."""
        return f"http://127.0.0.1:{self._server.port if self._server is not None else 0}"

    async def start(self) -> None:
        """Listen."""
        self._server = GrpcTransport().server("127.0.0.1:0", Routes(unary={EXPORT: self._export}))
        await self._server.start()

    async def stop(self) -> None:
        """Take no more."""
        if self._server is not None:
            await self._server.stop()

    async def trace(self, trace: str, enough: Callable[[Trace], bool], within: float = 10.0) -> Trace:
        """The spans of one trace, oldest first, as soon as they are `enough`; after `within` seconds, those that came."""
        return await self.find(lambda span: span.trace == trace, enough, within)

    async def find(self, wanted: Callable[[Span], bool], enough: Callable[[Trace], bool], within: float = 10.0) -> Trace:
        """The `wanted` spans of all traces, likewise."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while True:
            self._arrived.clear()
            spans = sorted(filter(wanted, self._spans), key=lambda span: span.start)
            left = until - loop.time()
            if left <= 0 or enough(spans):
                return spans
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    @contextmanager
    def client_span(self, name: str) -> Iterator[dict[str, str]]:
        """The caller's own span around a call: yields the headers that make the call part of its trace."""
        ids = Ids(secrets.randbits(128) | 1, secrets.randbits(64) | 1)
        began = time.time_ns()
        try:
            yield {"traceparent": render(ids)}
        finally:
            trace, span = f"{ids.trace_id:032x}", f"{ids.span_id:016x}"
            self._spans.append(Span(trace, span, "", name, "CLIENT", "demo", {}, (), began, time.time_ns()))
            self._arrived.set()

    async def _export(self, raw: bytes, _call: ServerCall) -> bytes:
        self._spans.extend(_read(ExportTraceServiceRequest.FromString(raw)))
        self._arrived.set()
        return ExportTraceServiceResponse().SerializeToString()


def _read(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name", ""))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    Exported.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    service,
                    _attributes(span.attributes),
                    tuple(link.span_id.hex() for link in span.links),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
