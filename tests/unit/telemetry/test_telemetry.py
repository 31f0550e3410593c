import threading
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
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

from fanmesh.runtime import telemetry
from fanmesh.runtime.telemetry import SCOPE, SdkRecorder, provider
from fanmesh.runtime.traceparent import Ids
from fanmesh.runtime.tracing import MAX_LINKS, OFF, Attribute, Recorder

CALLER = Ids(0xABC, 0xDEF, 1, "vendor=1")
ATTRIBUTES: dict[str, Attribute] = {"s": "x", "i": 1, "f": 0.5, "b": True, "l": ("a", "b")}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "TRACES_ENDPOINT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


class SameId(IdGenerator):
    """Every span is 7."""

    def generate_span_id(self) -> int:
        """It."""
        return 7

    def generate_trace_id(self) -> int:
        """Not called: there is a parent."""
        raise AssertionError


def recorder_and_exporter() -> tuple[SdkRecorder, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return SdkRecorder(provider("s"), SimpleSpanProcessor(exporter)), exporter


@pytest.mark.parametrize("error", [None, "WHY"])
def test_a_span_leaves_as_the_sdks_own_would(error: str | None) -> None:
    """Recorded here and through Tracer.start_span, the same span gives the same bytes: nothing is lost by the short way."""
    ours, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    recorder = SdkRecorder(provider("s"), SimpleSpanProcessor(ours))
    link = Ids(CALLER.trace_id, 9, 1)
    ids = CALLER._replace(span_id=7)
    recorder.record("n", SpanKind.CLIENT, ids, CALLER.span_id, 10, 20, ATTRIBUTES, remote=True, error=error, links=[link])

    sdk = TracerProvider(resource=provider("s").resource, id_generator=SameId(), shutdown_on_exit=False)
    sdk.add_span_processor(SimpleSpanProcessor(theirs))
    remote = SpanContext(CALLER.trace_id, CALLER.span_id, True, TraceFlags(1), TraceState.from_header(["vendor=1"]))
    context = set_span_in_context(NonRecordingSpan(remote))
    links = [Link(SpanContext(link.trace_id, link.span_id, is_remote=True, trace_flags=TraceFlags(1)))]
    span = sdk.get_tracer(SCOPE.name).start_span("n", context, SpanKind.CLIENT, ATTRIBUTES, links, start_time=10)
    if error:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(20)

    mine, reference = encode_spans(ours.get_finished_spans()), encode_spans(theirs.get_finished_spans())
    assert mine.SerializeToString(deterministic=True) == reference.SerializeToString(deterministic=True)


def test_links_are_bounded() -> None:
    """At most 1,024; how many were dropped is told."""
    recorder, exporter = recorder_and_exporter()
    links = [Ids(1, n + 1) for n in range(MAX_LINKS + 5)]
    recorder.record("n", SpanKind.INTERNAL, Ids(1, 2), 0, 0, 0, {}, links=links)
    (span,) = exporter.get_finished_spans()
    assert (len(span.links), span.dropped_links) == (MAX_LINKS, 5)


def test_a_span_never_ends_before_it_starts() -> None:
    """A clock that was set back must not make a negative duration."""
    recorder, exporter = recorder_and_exporter()
    recorder.record("n", SpanKind.INTERNAL, Ids(1, 2), 0, 20, 10, {})
    (span,) = exporter.get_finished_spans()
    assert (span.start_time, span.end_time) == (20, 20)


@pytest.mark.parametrize(
    ("sampler", "argument", "root", "child", "orphan"),
    [
        ("", "", True, True, False),
        ("parentbased_traceidratio", "0", False, True, False),
        ("traceidratio", "0", False, False, False),
        ("always_on", "", True, True, True),
        ("always_off", "", False, False, False),
    ],
)
def test_the_sampler_of_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, *, root: bool, child: bool, orphan: bool
) -> None:
    """For a root, a child of a sampled caller, and a child of an unsampled one."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler or "parentbased_always_on")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    recorder, _ = recorder_and_exporter()
    decisions = [recorder.begin(parent, "n") for parent in (None, CALLER, CALLER._replace(flags=0))]
    assert [ids is not None for ids in decisions] == [root, child, orphan]
    for ids in decisions[1:]:
        if ids is not None:
            assert (ids.trace_id, ids.tracestate, ids.sampled) == (CALLER.trace_id, "vendor=1", True)
            assert ids.span_id != CALLER.span_id


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_installed_without_being_asked(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """No endpoint, or an explicit no: nothing samples, nothing connects."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert telemetry.start("s") is OFF
    off: Recorder = OFF
    assert off.begin(CALLER, "n") is None
    off.record("n", SpanKind.SERVER, CALLER, 0, 0, 0, {})
    off.close()
    assert (off.new_span_id(), off.wall()) == (0, 0)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
    recorder = telemetry.start("s", "1.0")
    yield recorder
    recorder.close(0.0)


def test_a_collector_that_is_gone_does_not_hold_up_the_end(unreachable: Recorder) -> None:
    """When its time is up, close() ends the exporter's retries, so that nothing of it is left running."""
    unreachable.record("n", SpanKind.INTERNAL, Ids(1, 2), 0, 0, 0, {})
    unreachable.close(0.05)
    assert not any("telemetry-close" in thread.name or "OtelBatch" in thread.name for thread in threading.enumerate())


def test_the_service_is_named_by_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME beats what the program calls itself."""
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    assert provider("dispatcher", "1.0").resource.attributes["service.name"] == "dispatcher"
    assert provider("dispatcher", "1.0").resource.attributes["service.version"] == "1.0"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    assert provider("dispatcher").resource.attributes["service.name"] == "edge"
