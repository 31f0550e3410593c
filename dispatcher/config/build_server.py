"""Models → the settings of the process."""

from __future__ import annotations

from dispatcher.config.settings import ServerConfig
from dispatcher.config.shape import ServerShape
from dispatcher.config.shape_protection import OverloadShape
from dispatcher.model.limits import Limits
from dispatcher.model.policy import IdempotencyRule, OverloadRule, Thresholds


def build_server(given: ServerShape) -> ServerConfig:
    """The settings of the process."""
    return ServerConfig(
        listen=given.listen,
        metrics=given.metrics,
        aggregator=given.aggregator,
        drain=given.drain,
        limits=Limits(given.limits.part, given.limits.branch, given.limits.reply),
        overload=_overload(given.overload, given.max_in_flight),
        idempotency=IdempotencyRule(given.idempotency.ttl, given.idempotency.max_entries, given.idempotency.max_bytes),
        announce=given.announce,
        connection_age=given.connection_age,
        transport=given.transport or "",
        compression=given.compression,
    )


def _overload(given: OverloadShape, max_in_flight: int | None) -> OverloadRule:
    lag, memory = given.lag, given.memory
    return OverloadRule(
        max_in_flight=max_in_flight,
        lag=Thresholds(_float(lag.hedges), _float(lag.optional), _float(lag.reject)),
        memory=Thresholds(_float(memory.hedges), _float(memory.optional), _float(memory.reject)),
        memory_limit=memory.limit,
    )


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
