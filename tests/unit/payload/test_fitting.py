"""A result as the type that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from fanmesh.fitting import ResultMismatch, fitted
from fanmesh.model.coverage import Coverage
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState, CompletedBy

LATE = BranchReport("slow", "w", BranchState.CANCELLED, BranchReason.SOFT_TIMEOUT)
PARTIAL = Report("r", "p", CompletedBy.SOFT_TIMEOUT, Coverage(0.5), (LATE,))


@dataclass
class Strict:
    """Wants both branches."""

    hello: dict[str, Any]
    slow: dict[str, Any]


@dataclass
class Lenient:
    """Can do without one."""

    hello: dict[str, Any]
    slow: dict[str, Any] | None = None


def test_a_partial_answer_for_a_type_that_wants_all_of_it() -> None:
    """The error names the field and what is missing, and has the answer and the report: they are not the caller's to lose."""
    with pytest.raises(ResultMismatch) as unfit:
        fitted({"hello": {"a": 1}}, PARTIAL, Strict)
    assert str(unfit.value) == "slow: Field required; missing: slow"
    assert (unfit.value.result.value, unfit.value.result.missing) == ({"hello": {"a": 1}}, ("slow",))


def test_a_partial_answer_for_a_type_that_can_do_without() -> None:
    """A default is what it is filled with."""
    assert fitted({"hello": {"a": 1}}, PARTIAL, Lenient).value == Lenient({"a": 1}, None)
