"""A recorder that keeps spans in a list, for tests of those who make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from opentelemetry.trace import SpanKind

from fanmesh.runtime.traceparent import SAMPLED, Ids
from fanmesh.runtime.tracing import Attribute, SpanEvent


@dataclass(frozen=True, slots=True)
class Recorded:
    """A span as it was handed over."""

    name: str
    kind: SpanKind
    ids: Ids
    parent: int
    start: int
    end: int
    attributes: Mapping[str, Attribute]
    remote: bool
    error: str | None
    links: tuple[Ids, ...]
    events: tuple[SpanEvent, ...] = ()


class Recording:
    """Samples what its parent sampled, and roots if `roots`. Span ids are 1, 2, 3 …, the wall clock stands still."""

    def __init__(self, *, roots: bool = True) -> None:
        self.spans: list[Recorded] = []
        self.time = 1_000_000_000_000
        self._roots = roots
        self._next = count(1)

    def begin(self, parent: Ids | None, name: str) -> Ids | None:  # noqa: ARG002  (the protocol's)
        """Parent-based."""
        if not (self._roots if parent is None else parent.sampled):
            return None
        trace_id, tracestate = (0xABC, "") if parent is None else (parent.trace_id, parent.tracestate)
        return Ids(trace_id, self.new_span_id(), SAMPLED, tracestate)

    def new_span_id(self) -> int:
        """The next number."""
        return next(self._next)

    def wall(self) -> int:
        """What the test says."""
        return self.time

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
        """Keep it."""
        told = Recorded(name, kind, ids, parent, start, end, attributes, remote, error, tuple(links), tuple(events))
        self.spans.append(told)

    def close(self, timeout: float = 5.0) -> None:
        """Nothing is left."""
