"""The sections of a policy: what is done for a call beyond making it.

Apart from shape.py, which holds what is called and what the answers mean. Defaults are those of dispatcher/model/policy.py; a
key is named as there where YAML does not have another word for it, so that what was said can be laid over a value.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from dispatcher.config.quantities import show_duration
from dispatcher.config.shape_types import After, Count, Duration, FailureCode, Id, PositiveDuration, Ratio, Section
from dispatcher.model.policy import Backoff, BreakerRule, BudgetRule, Hedge, Policy, Retry

_BACKOFF: Final = Backoff()
_BUDGET: Final = BudgetRule()
_RETRY: Final = Retry()
_HEDGE: Final = Hedge()
_BREAKER: Final = BreakerRule()


class BackoffShape(Section):
    """The wait before a retry: at random between 0 and a bound that grows with each retry."""

    initial: Duration = Field(
        default=show_duration(_BACKOFF.initial), validate_default=True, description="The bound before the first retry."
    )
    maximum: Duration = Field(
        default=show_duration(_BACKOFF.maximum),
        validate_default=True,
        alias="max",
        description="What the bound grows to; at least `initial`.",
    )
    multiplier: float = Field(default=_BACKOFF.multiplier, ge=1, description="By what the bound grows with each retry.")
    jitter: Literal["full"] = Field(default="full", description="How chance decides: anywhere between 0 and the bound.")


class RetryBudgetShape(Section):
    """What retries and hedges of one worker may add to its load, together."""

    ratio: Ratio = Field(default=_BUDGET.ratio, description="Further attempts for each first one.")
    min_per_second: float = Field(default=_BUDGET.min_per_second, ge=0, description="So many a second are always allowed.")


class RetryShape(Section):
    """Another attempt after one that failed. A write is sent again only if it was never sent, unless it is `idempotent`."""

    max_attempts: Annotated[int, Field(ge=2, le=10)] = Field(
        default=_RETRY.max_attempts, description="All attempts, the first one and hedges included."
    )
    codes: Annotated[list[FailureCode], Field(json_schema_extra={"uniqueItems": True})] = Field(
        default=[code.name for code in sorted(_RETRY.codes)], validate_default=True, description="Failures that are retried."
    )
    on_timeout: bool = Field(default=_RETRY.on_timeout, description="An attempt that ran into `per_try_timeout` is retried.")
    per_try_timeout: PositiveDuration | None = Field(
        default=_RETRY.per_try_timeout, description="The time of one attempt; null = all that the branch has."
    )
    backoff: BackoffShape = Field(default_factory=BackoffShape, description="The wait before a retry.")
    budget: RetryBudgetShape = Field(default_factory=RetryBudgetShape, description="What retries may add to the load.")


class HedgeShape(Section):
    """A second attempt, at another endpoint, beside one that is slow. The first good answer wins, the other is cancelled."""

    after: After = Field(
        default=f"p{_HEDGE.quantile * 100:g}",
        validate_default=True,
        description="When: a quantile of the worker's latencies, from p50 to p99.9, or a fixed wait.",
    )
    minimum: Duration = Field(
        default=show_duration(_HEDGE.minimum), validate_default=True, alias="min", description="Never sooner than this."
    )
    maximum: PositiveDuration = Field(
        default=show_duration(_HEDGE.maximum),
        validate_default=True,
        alias="max",
        description="If the quantile is at or above this, everything is slow and nothing is hedged; at least `min`.",
    )
    max_extra_load: Annotated[float, Field(gt=0, le=1)] = Field(
        default=_HEDGE.max_extra_load, description="Hedges for each first attempt, at most."
    )
    min_samples: Count = Field(default=_HEDGE.min_samples, description="Nothing is hedged before so many latencies are known.")


class FailureRateShape(Section):
    """Opens a breaker when too large a share of the calls of a while has failed."""

    over: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=_BREAKER.rate_over or 0.0, description="It opens above this share."
    )
    window: PositiveDuration = Field(
        default=show_duration(_BREAKER.window), validate_default=True, description="How far back calls count."
    )
    min_requests: Count = Field(default=_BREAKER.min_requests, description="Fewer calls than this say nothing.")


class OpenForShape(Section):
    """How long an endpoint is left alone before one call tries it."""

    initial: PositiveDuration = Field(
        default=show_duration(_BREAKER.open_initial), validate_default=True, description="The first time; doubles each time."
    )
    maximum: PositiveDuration = Field(
        default=show_duration(_BREAKER.open_max),
        validate_default=True,
        alias="max",
        description="What it grows to; at least `initial`.",
    )


class BreakerShape(Section):
    """An endpoint that keeps failing is not called for a while."""

    consecutive_failures: Count | None = Field(
        default=_BREAKER.consecutive, description="It opens after so many failures in a row; null = they do not open it."
    )
    failure_rate: FailureRateShape | None = Field(
        default_factory=FailureRateShape, description="It opens by share, too; null = the share does not open it."
    )
    open_for: OpenForShape = Field(default_factory=OpenForShape, description="How long it is open.")


class PolicyShape(Section):
    """What is done for the calls of a worker. What is not said is as in `extends`, or off; null switches a section off."""

    extends: Id | None = Field(
        default=None, description="The policy that this one changes; its own name = the built-in one of that name."
    )
    retry: RetryShape | None = Field(default=None, description="Further attempts after a failure.")
    hedge: HedgeShape | None = Field(default=None, description="A second attempt beside a slow one.")
    breaker: BreakerShape | None = Field(default=None, description="Endpoints that keep failing are left alone.")
    balance: Literal["p2c_ewma", "round_robin"] = Field(
        default=Policy().balance.value,
        description="Who is called: the quicker and less busy of two at random, or one after the other.",
    )
