"""Faults are classified here, once: whatever a call can end with becomes a `Fault`, and nobody looks at an exception again."""

from __future__ import annotations

from typing import Final

from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.times import MS
from fanmesh.transport.port import RpcError
from fanmesh.transport.status import pushback

EARLY: Final = 2 * MS
"""A DEADLINE_EXCEEDED no earlier than this before the attempt's deadline is our own timer: clocks of peers are not closer."""

OVER_TRANSPORT_LIMIT: Final = "received message larger than max"


def fault_of(error: RpcError, now: int, deadline: int, parts: int) -> Fault:
    """The fault for an RPC that failed at `now` after `parts` parts; times in the clock's ns."""
    code = error.code
    if code is Code.DEADLINE_EXCEEDED and now >= deadline - EARLY:
        return Fault(FaultKind.LOCAL_TIMEOUT, code, "no answer in time", origin=Origin.LOCAL, retryable=True)
    if code is Code.RESOURCE_EXHAUSTED and OVER_TRANSPORT_LIMIT in error.message.lower():
        return Fault(FaultKind.TOO_LARGE, code, error.message, origin=Origin.TRANSPORT)
    if parts:
        broken = f"broke after {parts} part{'s' if parts > 1 else ''}: {code.name}: {error.message}"
        return Fault(FaultKind.STREAM_BROKEN, code, broken, retryable=code is Code.UNAVAILABLE)
    return Fault(
        FaultKind.WORKER_ERROR,
        code,
        error.message,
        origin=Origin.WORKER if error.sent else Origin.TRANSPORT,
        sent=error.sent,
        retryable=code is Code.UNAVAILABLE,
        retry_after=pushback(error.trailers),
    )


def invalid(why: str) -> Fault:
    """An answer that cannot be read."""
    return Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL, why)


def too_large(what: str, size: int, limit: int) -> Fault:
    """An answer over a limit; sizes in bytes."""
    return Fault(FaultKind.TOO_LARGE, Code.RESOURCE_EXHAUSTED, f"{what} of {size} bytes is over the limit of {limit}")
