"""What a caller gets back: the same nouns from a server and from an engine in the same process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from fanmesh.model.coverage import Coverage
from fanmesh.model.delta import Op
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport, Report

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """A merged answer, and the account of how it came about."""

    value: T
    report: Report

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.report.complete

    @property
    def coverage(self) -> float:
        """How much of the plan answered, by weight, in [0, 1]."""
        return self.report.coverage.ratio

    @property
    def missing(self) -> tuple[str, ...]:
        """Branches that were wanted and whose own answer is not there."""
        return self.report.missing

    @property
    def elapsed(self) -> int:
        """Nanoseconds from the arrival of the request to the reply."""
        return self.report.elapsed


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The result so far.

    `ops`, with `emit=EmitMode.DELTA` only: what makes this value out of the one before, none if only the coverage is new. Such
    values share what did not change with the ones before and after, and are to be read, not changed.
    """

    value: Any
    coverage: Coverage
    ops: tuple[Op, ...] = ()


@dataclass(frozen=True, slots=True)
class BranchEvent:
    """A branch that changed."""

    branch: BranchReport
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Final(Generic[T]):
    """The reply; the last event."""

    result: Result[T]


Update: TypeAlias = Snapshot | BranchEvent | Final[T]
"""What a streamed dispatch yields."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tighter limits than the plan's; None = the plan's. `latency` in seconds, `usd` a decimal string."""

    latency: float | None = None
    tokens: int | None = None
    usd: str | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """A higher floor than the plan's; None = the plan's. `required`: branches that must answer, beside the plan's."""

    min_success: int | None = None
    min_coverage: float | None = None
    required: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class DispatchFailed(Exception):  # noqa: N818  (says what happened to the request)
    """There is no result.

    `reason` is the UPPER_SNAKE reason of the protocol's status table, empty if the failure was not the dispatcher's to explain
    (no connection, for example). `report` is there if the request ran; `summary` says that it holds the worst branches only.
    `retry_after` in milliseconds: None = not said, negative = do not retry. `details` are those of the reason. `sent` False:
    the request certainly never left this process; True: it may have (always so from `Client`, which does not look).
    """

    code: Code
    reason: str = ""
    message: str = ""
    report: Report | None = None
    summary: bool = False
    retry_after: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    sent: bool = True

    def __post_init__(self) -> None:
        """Give the exception its arguments, for tracebacks and pickling."""
        Exception.__init__(self, self.code, self.reason, self.message)

    def __str__(self) -> str:
        head = f"{self.code.name} {self.reason}".rstrip()
        return f"{head}: {self.message}" if self.message else head
