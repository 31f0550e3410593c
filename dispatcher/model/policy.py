"""What may be done for a call beyond making it, as data. `dispatcher/policies` decides by these, configuration makes them.

A part that is None is off, and costs nothing. Times are ns, ratios are in [0, 1] unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final

from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before retry n: u · min(initial · multiplier^(n − 1), maximum), u in [0, 1) (full jitter).

    Source: gRPC A6 for the growth; full jitter (AWS, Envoy) because A6's ±20 % keeps callers in step with each other.
    """

    initial: int = 50 * MS
    maximum: int = SECOND
    multiplier: float = 2.0


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """What retries and hedges may cost: each first attempt pays in `ratio`, each further one takes 1; `min_per_second` is free.

    Source: Finagle's RetryBudget (20 %, 10/s, 10 s); the floor is lower because there is one budget a worker and process.
    """

    ratio: float = 0.2
    min_per_second: float = 1.0


@dataclass(frozen=True, slots=True)
class Retry:
    """`max_attempts` counts the first one. `per_try_timeout` None: an attempt may take all the time that the branch has.

    `codes`: CANCELLED is among them because a gRPC server that ends says it to calls that reach it too late (decision 0016).
    `on_timeout`: an attempt whose own time ran out may be followed by another (of a worker that may be called twice).
    """

    max_attempts: int = 3
    codes: frozenset[Code] = frozenset({Code.CANCELLED, Code.UNAVAILABLE})
    on_timeout: bool = True
    per_try_timeout: int | None = None
    backoff: Backoff = Backoff()
    budget: BudgetRule = BudgetRule()


@dataclass(frozen=True, slots=True)
class Hedge:
    """A second attempt beside a slow one: after the `quantile` of the worker's latencies, within [minimum, maximum].

    `delay`: a fixed wait instead of the quantile. `max_extra_load`: hedges per first attempt, at most. Below `min_samples`
    latencies nothing is hedged.
    """

    quantile: float = 0.95
    delay: int | None = None
    minimum: int = 5 * MS
    maximum: int = 2 * SECOND
    max_extra_load: float = 0.05
    min_samples: int = 50


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When an endpoint is not called for a while. None = that signal is off.

    It opens after `consecutive` failures in a row, or when more than `rate_over` of at least `min_requests` within `window`
    failed; for `open_initial`, doubling up to `open_max`.
    """

    consecutive: int | None = 5
    rate_over: float | None = 0.5
    window: int = 10 * SECOND
    min_requests: int = 20
    open_initial: int = SECOND
    open_max: int = 60 * SECOND


@unique
class Balance(Enum):
    """How an endpoint is chosen among those that may be called."""

    P2C_EWMA = "p2c_ewma"
    ROUND_ROBIN = "round_robin"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is done for the calls of a worker."""

    name: str = "none"
    retry: Retry | None = None
    hedge: Hedge | None = None
    breaker: BreakerRule | None = None
    balance: Balance = Balance.P2C_EWMA
    max_attempts: int = field(init=False)

    def __post_init__(self) -> None:
        """Retries and hedges share one maximum; a hedge alone makes two attempts of one."""
        most = self.retry.max_attempts if self.retry is not None else 2 if self.hedge is not None else 1
        object.__setattr__(self, "max_attempts", most)


NONE: Final = Policy(balance=Balance.ROUND_ROBIN)
"""One attempt, whatever comes of it; endpoints in turn."""

STANDARD: Final = Policy("standard", Retry(), None, BreakerRule())
"""What a worker has unless the configuration says otherwise."""

HEDGED: Final = Policy("hedged", Retry(), Hedge(), BreakerRule())
"""STANDARD, and a hedge for the slowest calls."""

BUILT_IN: Final = {policy.name: policy for policy in (NONE, STANDARD, HEDGED)}


@dataclass(frozen=True, slots=True)
class RateRule:
    """Calls per second of one endpoint, and how many may come at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class LimitRule:
    """How much of a worker one dispatcher process uses. None = no limit.

    `in_flight`: calls of the worker at once; beyond it branches wait in a queue of `queue`, the most urgent first.
    `endpoint_in_flight` and `rate` are of one endpoint: at the limit the next endpoint is tried.
    """

    in_flight: int | None = None
    queue: int = 0
    endpoint_in_flight: int | None = None
    rate: RateRule | None = None
    of_endpoint: bool = field(init=False)

    def __post_init__(self) -> None:
        """Whether an endpoint has limits of its own: asked for each attempt."""
        object.__setattr__(self, "of_endpoint", self.endpoint_in_flight is not None or self.rate is not None)


NO_LIMIT: Final = LimitRule()


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Faults that are put in on purpose. Shares are in [0, 1]; `seed` makes them the same in every run.

    `headers`: callers may ask for faults by metadata (`fanmesh-fault-delay-ms`, `fanmesh-fault-abort-code`), each at most as
    often as the share here says. Source: Envoy's fault filter, whose headers are capped by the configured percentage, too.
    """

    delay_share: float = 0.0
    delay: int = 0
    abort_share: float = 0.0
    abort_code: Code = Code.UNAVAILABLE
    seed: int = 0
    headers: bool = False


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which value on a signal means what; rising. None = the signal does not mean that."""

    hedges: float | None = None
    optional: float | None = None
    reject: float | None = None


@dataclass(frozen=True, slots=True)
class OverloadRule:
    """How the process protects itself. `max_in_flight` requests at once (None = no limit).

    `lag` in ns of the event loop's delay, `memory` as a share of `memory_limit` bytes (None: memory is not looked at).
    """

    max_in_flight: int | None = None
    lag: Thresholds = Thresholds(50.0 * MS, 100.0 * MS, 250.0 * MS)
    memory: Thresholds = Thresholds(0.8, 0.9, 0.95)
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyRule:
    """How long the reply to a request with an `idempotency_key` is kept, in ns, how many of them and how many bytes at most."""

    ttl: int = 600 * SECOND
    most: int = 10_000
    most_bytes: int = 64 << 20
