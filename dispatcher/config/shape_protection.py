"""The sections that bound what is used, of a worker and of the process, and the faults that test whether the bounds hold.

Defaults are those of dispatcher/model/policy.py.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from dispatcher.config.quantities import show_duration
from dispatcher.config.shape_types import Count, FailureCode, Memory, PositiveDuration, Section
from dispatcher.model.policy import FaultRule, IdempotencyRule, OverloadRule

_FAULTS: Final = FaultRule()
_OVERLOAD: Final = OverloadRule()
_IDEMPOTENCY: Final = IdempotencyRule()


class RateShape(Section):
    """Calls per second of one endpoint."""

    per_second: Annotated[float, Field(gt=0)] = Field(description="How many, on average.")
    burst: Count | None = Field(
        default=None, description="How many at once; if not given, a tenth of `per_second`, at least 1."
    )


class LimitShape(Section):
    """How much of a worker one dispatcher uses at most."""

    in_flight: Count | None = Field(default=None, description="Calls at once; null = no limit.")
    queue: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Branches that wait for their turn; as many as `in_flight` if not given."
    )
    endpoint_in_flight: Count | None = Field(default=None, description="Calls at once of one endpoint; then the next is tried.")
    rate: RateShape | None = Field(default=None, description="Calls per second of one endpoint; then the next is tried.")


class DelayShape(Section):
    """Calls that are held up on purpose."""

    percent: Annotated[float, Field(gt=0, le=100)] = Field(description="Of how many calls in a hundred.")
    of: PositiveDuration = Field(description="By how much.")


class AbortShape(Section):
    """Calls that are failed on purpose."""

    percent: Annotated[float, Field(gt=0, le=100)] = Field(description="Of how many calls in a hundred.")
    code: FailureCode = Field(default=_FAULTS.abort_code.name, validate_default=True, description="With which status.")


class FaultsShape(Section):
    """Faults that are put in on purpose, to see what they do."""

    delay: DelayShape | None = Field(default=None, description="Hold calls up.")
    abort: AbortShape | None = Field(default=None, description="Fail calls.")
    seed: int = Field(default=_FAULTS.seed, description="The same seed puts in the same faults.")
    headers: bool = Field(
        default=_FAULTS.headers, description="Callers may ask for them by metadata, at most as often as said here."
    )


def _lag(ns: float | None) -> str | None:
    return None if ns is None else show_duration(int(ns))


class LagShape(Section):
    """From which delay of the event loop on what is given up; rising. null = never for this reason."""

    hedges: PositiveDuration | None = Field(
        default=_lag(_OVERLOAD.lag.hedges), validate_default=True, description="Nothing is hedged."
    )
    optional: PositiveDuration | None = Field(
        default=_lag(_OVERLOAD.lag.optional), validate_default=True, description="Branches that are not required are left out."
    )
    reject: PositiveDuration | None = Field(
        default=_lag(_OVERLOAD.lag.reject), validate_default=True, description="Requests are refused."
    )


class MemoryShape(Section):
    """From which share of the process's memory on what is given up; rising. null = never for this reason."""

    limit: Memory | None = Field(default=_OVERLOAD.memory_limit, description="All of it; null = memory is not looked at.")
    hedges: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=_OVERLOAD.memory.hedges, description="Nothing is hedged."
    )
    optional: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=_OVERLOAD.memory.optional, description="Branches that are not required are left out."
    )
    reject: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=_OVERLOAD.memory.reject, description="Requests are refused."
    )


class OverloadShape(Section):
    """How the process protects itself when it cannot keep up."""

    lag: LagShape = Field(default_factory=LagShape, description="By the delay of the event loop.")
    memory: MemoryShape = Field(default_factory=MemoryShape, description="By the memory in use.")


class IdempotencyShape(Section):
    """Replies that are kept, for callers that send the same `idempotency_key` again."""

    ttl: PositiveDuration = Field(default=show_duration(_IDEMPOTENCY.ttl), validate_default=True, description="For how long.")
    max_entries: Count = Field(default=_IDEMPOTENCY.most, description="How many; the oldest goes first.")
    max_bytes: Memory = Field(
        default="64MiB",
        validate_default=True,
        description="How much of them together, as they are sent; the oldest goes first, and one that is larger is not kept.",
    )
