"""The trace context of whatever span the calling program has current.

Read in one place, and only where a request begins in somebody else's program: inside the engine every context is passed on
explicitly, because the ambient one is lost across tasks.
"""

from __future__ import annotations

from opentelemetry import propagate


def headers() -> dict[str, str]:
    """`traceparent` and what else the program's propagator says; empty without a current span."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier
