"""The OpenTelemetry SDK, set up from the standard environment, as the place where finished spans go.

The SDK's sampler, resource, batching and OTLP exporter do their work as everywhere; only its live span is left out. A
`ReadableSpan` is made directly, against the advice of its docstring, because `Tracer.start_span`, `set_attributes` and `end`
take three locks, two context look-ups and a copy for each of a request's spans, which is most of what tracing costs the
serving thread. A test exports the same span both ways and compares the bytes, so a change upstream cannot go unseen.

Without an endpoint in the environment nothing is installed: the exporter's default of localhost would make every process that
nobody wants to trace retry against a closed port.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from fanmesh.runtime import environ
from fanmesh.runtime.traceparent import RANDOM, SAMPLED, Ids
from fanmesh.runtime.tracing import MAX_LINKS, OFF, Attribute, Recorder, SpanEvent

SCOPE: Final = InstrumentationScope("fanmesh")
UNSET: Final = Status()


def start(service: str, version: str = "") -> Recorder:
    """A recorder for this process, or OFF.

    Reads OTEL_EXPORTER_OTLP[_TRACES]_ENDPOINT and the exporter's other variables, OTEL_TRACES_SAMPLER[_ARG] (default:
    every root, and whatever the caller decided), OTEL_SERVICE_NAME (default `service`), OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*,
    OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER=none. Call it after forking, never before.
    """
    endpoint = environ.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint or environ.flag("OTEL_SDK_DISABLED") or environ.text("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return OFF
    exporter = OTLPSpanExporter()
    return SdkRecorder(provider(service, version), BatchSpanProcessor(exporter), exporter)


def resource(service: str, version: str = "") -> Resource:
    """Who speaks: OTEL_SERVICE_NAME (default `service`) and OTEL_RESOURCE_ATTRIBUTES."""
    made = Resource.create({SERVICE_VERSION: version} if version else None)
    if str(made.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        made = made.merge(Resource({SERVICE_NAME: service}))
    return made


def provider(service: str, version: str = "") -> TracerProvider:
    """The SDK's tracer provider. Not made global: whoever embeds Fanmesh may have one."""
    limits = SpanLimits(max_links=MAX_LINKS)
    return TracerProvider(resource=resource(service, version), span_limits=limits, shutdown_on_exit=False)


class SdkRecorder:
    """Samples as `provider` says and hands finished spans to `processor`, which is added to it. `exporter`: to be aborted."""

    def __init__(self, provider: TracerProvider, processor: SpanProcessor, exporter: OTLPSpanExporter | None = None) -> None:
        provider.add_span_processor(processor)
        self._provider = provider
        self._exporter = exporter
        self._sampler = provider.sampler
        self._resource = provider.resource
        self._id_generator = provider.id_generator
        self._on_end = processor.on_end
        self._root_flags = SAMPLED | (RANDOM if self._id_generator.is_trace_id_random() else 0)
        self.wall = time.time_ns
        self.new_span_id = self._id_generator.generate_span_id

    def begin(self, parent: Ids | None, name: str) -> Ids | None:
        """As the configured sampler decides."""
        context, flags = ROOT, self._root_flags
        if parent is None:
            trace_id, tracestate = self._id_generator.generate_trace_id(), ""
        else:
            trace_id, tracestate = parent.trace_id, parent.tracestate
            flags = SAMPLED | parent.flags & RANDOM
            remote = SpanContext(trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))
            context = set_span_in_context(NonRecordingSpan(remote), ROOT)
        decided = self._sampler.should_sample(context, trace_id, name, SpanKind.SERVER).decision
        if decided is not Decision.RECORD_AND_SAMPLE:
            return None
        return Ids(trace_id, self.new_span_id(), flags, tracestate)

    def record(
        self,
        name: str,
        kind: SpanKind,
        ids: Ids,
        parent: int,
        start: int,
        end: int,
        attributes: Mapping[str, Attribute],
        *,
        remote: bool = False,
        error: str | None = None,
        links: Iterable[Ids] = (),
        events: Sequence[SpanEvent] = (),
    ) -> None:
        """Queue the span for export. A full queue drops the oldest span; it never waits."""
        state = TraceState.from_header([ids.tracestate]) if ids.tracestate else None
        flags = TraceFlags(ids.flags)
        self._on_end(
            ReadableSpan(
                name=name,
                context=SpanContext(ids.trace_id, ids.span_id, is_remote=False, trace_flags=flags, trace_state=state),
                parent=SpanContext(ids.trace_id, parent, remote, flags, state) if parent else None,
                resource=self._resource,
                attributes=attributes,
                links=_links(links) if links else (),
                events=[Event(event.name, event.attributes, event.at) for event in events],
                kind=kind,
                status=UNSET if error is None else Status(StatusCode.ERROR, error),
                start_time=start,
                end_time=max(start, end),
                instrumentation_scope=SCOPE,
            )
        )

    def close(self, timeout: float = 5.0) -> None:
        """Export what is left. The SDK would wait half a minute for a collector that is gone; this waits `timeout`."""
        flush = threading.Thread(target=self._provider.shutdown, name="fanmesh-telemetry-close", daemon=True)
        flush.start()
        flush.join(timeout)
        if flush.is_alive() and self._exporter is not None:
            self._exporter.shutdown()  # ends its retries
            flush.join(1.0)


ROOT: Final = Context()
"""Given to the sampler in the place of the ambient context, which belongs to whoever else runs in this task."""


def _links(links: Iterable[Ids]) -> BoundedList[Link]:
    made = [Link(SpanContext(at.trace_id, at.span_id, is_remote=True, trace_flags=TraceFlags(at.flags))) for at in links]
    return BoundedList.from_seq(MAX_LINKS, made)
