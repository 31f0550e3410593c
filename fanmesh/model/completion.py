"""When a request is complete: the rules as data. `aggregator/engine` decides by them, configuration makes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from fanmesh.model.states import OnFailure


@unique
class UntilKind(Enum):
    """The rules that complete a request early, by their names in the configuration."""

    ALL = "all"
    FIRST = "first"
    COUNT = "count"
    REQUIRED = "required"
    COVERAGE = "coverage"


@dataclass(frozen=True, slots=True)
class Until:
    """One rule. `value` is n ≥ 1 for COUNT, a ratio in (0, 1] for COVERAGE, else unused."""

    kind: UntilKind
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Grace:
    """How long to wait on after coverage is met, as shares of the remaining time; 0 ≤ minimum ≤ maximum ≤ 1.

    Rule: Vespa's adaptive wait (graceful degradation).
    """

    minimum: float = 0.0
    maximum: float = 0.0


@dataclass(frozen=True, slots=True)
class CompletionRule:
    """When a request is complete, and the floor below which it fails. `soft` is in ns since the request's start."""

    until: tuple[Until, ...] = (Until(UntilKind.ALL),)
    soft: int | None = None
    grace: Grace = Grace()
    min_success: int = 1
    min_coverage: float = 0.0
    on_failure: OnFailure = OnFailure.SETTLE
