"""A run as its tests read it: each request's report beside its trace."""

from __future__ import annotations

from dataclasses import dataclass

from tests.jaeger.asking import Asked
from tests.jaeger.backend import Jaeger, Trace
from tests.kit.waiting import until


@dataclass(frozen=True, slots=True)
class Told:
    """Everything after the run: the requests with their traces, and Jaeger, to be asked for more."""

    jaeger: Jaeger
    asked: dict[str, Asked]
    traces: dict[str, Trace]

    @property
    def pairs(self) -> list[tuple[Asked, Trace]]:
        """Each request that was sampled, with its trace."""
        return [(self.asked[name], trace) for name, trace in self.traces.items()]


def whole(jaeger: Jaeger, asked: Asked) -> Trace:
    """The trace, once all of it is there. All processes have ended and handed on their spans; Jaeger takes its time."""
    found: list[Trace | None] = [None]

    def complete() -> bool:
        found[0] = jaeger.trace(asked.trace_id)
        return found[0] is not None and len(found[0].spans) >= expected(asked)

    try:
        until(complete, "the spans")
    except AssertionError:
        names = [f"{span.service} {span.name}" for span in found[0].spans] if found[0] is not None else []
        raise AssertionError(f"{asked.name}: {len(names)} of {expected(asked)} spans: {sorted(names)}") from None
    assert found[0] is not None
    return found[0]


def expected(asked: Asked) -> int:
    """Spans of a request: the client's, its own and the merge's; for each call both sides; one for a branch without a call."""
    rows = [row for row in asked.report.branches if row.span_id]
    return 3 + sum(2 * len(row.attempts) or 1 for row in rows)
