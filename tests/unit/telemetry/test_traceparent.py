import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fanmesh.runtime.traceparent import Ids, parse, render

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CASES = [
    GOOD,
    GOOD[:-2] + "00",
    GOOD[:-2] + "03",
    "01" + GOOD[2:],
    "01" + GOOD[2:] + "-more",
    GOOD + "-more",
    "ff" + GOOD[2:],
    GOOD.upper(),
    GOOD[:-1],
    "00-" + "0" * 32 + GOOD[35:],
    GOOD[:36] + "0" * 16 + GOOD[52:],
    "",
    "rubbish",
    GOOD + "\n",
]


def by_the_library(header: str) -> tuple[int, int, int] | None:
    context = TraceContextTextMapPropagator().extract({"traceparent": header}, context=Context())
    span = get_current_span(context).get_span_context()
    return (span.trace_id, span.span_id, span.trace_flags) if span.is_valid else None


@pytest.mark.parametrize("header", [case for case in CASES if not case.endswith("\n")])
def test_a_header_is_read_as_the_library_reads_it(header: str) -> None:
    """What OpenTelemetry's own propagator takes or refuses is taken or refused here, with the same ids."""
    ids = parse(header)
    assert (ids and ids[:3]) == by_the_library(header)


def test_nothing_may_follow_the_flags() -> None:
    """A line break would be carried into the metadata of every worker."""
    assert parse(GOOD + "\n") is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_what_is_written_can_be_read(trace_id: int, span_id: int, flags: int) -> None:
    """parse(render(ids)) = ids."""
    ids = Ids(trace_id, span_id, flags)
    assert parse(render(ids)) == ids
    assert ids.sampled is bool(flags & 1)
