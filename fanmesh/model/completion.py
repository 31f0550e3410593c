"""When a request is complete: the rules as data. `aggregator/engine` decides by them, configuration makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, TypeAlias

from fanmesh.model.states import OnFailure
from fanmesh.model.values import Value


@unique
class UntilKind(Enum):
    """The rules that complete a request early, by their names in the configuration."""

    ALL = "all"
    FIRST = "first"
    COUNT = "count"
    REQUIRED = "required"
    COVERAGE = "coverage"
    PREDICATE = "predicate"
    CONFIDENCE = "confidence"
    QUIET = "quiet"


BY_PARTS: Final = frozenset({UntilKind.PREDICATE, UntilKind.CONFIDENCE, UntilKind.QUIET})
"""The rules that look at what has come so far, parts of running streams included."""


@dataclass(frozen=True, slots=True)
class Until:
    """One rule. `value` is n ≥ 1 for COUNT, in (0, 1] for COVERAGE and CONFIDENCE, ns > 0 for QUIET, else unused."""

    kind: UntilKind
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Predicate:
    """What `until: predicate` asks of the result so far. `source`: CEL over `merged`, `coverage` and attributes.

    `reads`: the attributes that it reads, sorted. `min_interval`: shortest time between two evaluations, in ns.
    """

    source: str
    reads: tuple[str, ...] = ()
    min_interval: int = 0


Evaluate: TypeAlias = Callable[[Callable[[], Value], float], bool | None]
"""(what gives the merged value, coverage in [0, 1]) → whether the predicate holds; None = it could not be evaluated.

Depends on its arguments only. The value is asked for only if the predicate reads it: merging is work.
"""

CompilePredicate: TypeAlias = Callable[[Predicate, Mapping[str, str]], Evaluate]
"""A predicate, and the values of the attributes that it reads. Raises ValueError if it is no such expression."""


@dataclass(frozen=True, slots=True)
class Grace:
    """How long to wait on after coverage is met, as shares of the remaining time; 0 ≤ minimum ≤ maximum ≤ 1.

    Rule: Vespa's adaptive wait (graceful degradation).
    """

    minimum: float = 0.0
    maximum: float = 0.0


@dataclass(frozen=True, slots=True)
class CompletionRule:
    """When a request is complete, and the floor below which it fails. `soft` is in ns since the request's start.

    `predicate` is what the rule PREDICATE asks; None without that rule.
    """

    until: tuple[Until, ...] = (Until(UntilKind.ALL),)
    soft: int | None = None
    grace: Grace = Grace()
    min_success: int = 1
    min_coverage: float = 0.0
    predicate: Predicate | None = None
    on_failure: OnFailure = OnFailure.SETTLE

    @property
    def looks_at_parts(self) -> bool:
        """Whether a part of a stream can complete the request: then none is left out of its log, not even a replaced one."""
        return any(until.kind in BY_PARTS for until in self.until)
