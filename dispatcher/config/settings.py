"""A loaded configuration: frozen values, nothing of YAML or pydantic left in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dispatcher.config.problems import Problem
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Catalogue
from dispatcher.model.policy import IdempotencyRule, OverloadRule

EMBEDDED: Final = "embedded"
"""The aggregator that runs in the dispatcher's own process."""

_OVERLOAD: Final = OverloadRule()
_IDEMPOTENCY: Final = IdempotencyRule()


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The process. `metrics` None = not served; `aggregator` is EMBEDDED or a target; times in ns.

    `drain`: how long requests may go on. `announce`: NOT_SERVING before that. `connection_age`: None = no limit.
    `overload`: when it refuses requests to protect itself. `idempotency`: how long replies are kept for callers that ask twice.
    `transport`: the name of one; empty = the process's default. `compression` of the answers: none or gzip.
    """

    listen: str
    metrics: str | None
    aggregator: str
    drain: int
    limits: Limits
    overload: OverloadRule = _OVERLOAD
    idempotency: IdempotencyRule = _IDEMPOTENCY
    announce: int = 0
    connection_age: int | None = None
    transport: str = ""
    compression: str = "none"


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says. `dev`: worker → `module:function`. `version` changes exactly when the meaning of the file does."""

    catalogue: Catalogue
    server: ServerConfig
    dev: dict[str, str]
    warnings: tuple[Problem, ...] = ()
    version: str = ""
