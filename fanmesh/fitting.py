"""A result as the type that was asked for."""

from __future__ import annotations

from typing import Any, TypeVar

from fanmesh.model.report import Report
from fanmesh.model.values import Value
from fanmesh.payload import PayloadError, adapt
from fanmesh.result import Result

T = TypeVar("T")


class ResultMismatch(PayloadError):  # noqa: N818  (what the result is)
    """The result does not fit `returns`; with a partial answer that may be for what is missing. `result` is as it came."""

    def __init__(self, problem: PayloadError, result: Result[Any]) -> None:
        super().__init__(problem.problem)
        self.path = problem.path
        self.result = result

    def __str__(self) -> str:
        """Where, what, and which branches are missing: that is mostly why."""
        missing = ", ".join(self.result.missing)
        return super().__str__() + (f"; missing: {missing}" if missing else "")


def fitted(value: Value, report: Report, returns: type[T]) -> Result[T]:
    """The result as `returns`. ResultMismatch if it does not fit."""
    try:
        return Result(adapt(value, returns), report)
    except PayloadError as problem:
        raise ResultMismatch(problem, Result(value, report)) from None
