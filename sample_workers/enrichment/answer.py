"""What every lookup returns, and how it asks for its input.

A lookup returns its confidence beside the output instead of calling `ctx.report` itself, so that it stays a pure function
that a test calls with one argument.
"""

from __future__ import annotations

from datetime import date
from typing import Generic, NamedTuple, TypeVar

from fanmesh.workers import Fault

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """`confidence` in [0, 1]: how far the output can be relied on for this contact, by the formula of its lookup."""

    output: T
    confidence: float


def need(field: str, text: str) -> str:
    """The text without outer spaces. Raises INVALID_ARGUMENT naming the field if nothing is left."""
    if not (stripped := text.strip()):
        raise Fault.invalid_argument(f"{field}: missing")
    return stripped


def need_date(field: str, text: str) -> date:
    """The day that an ISO 8601 date names. Raises INVALID_ARGUMENT naming the field if there is no such day."""
    try:
        return date.fromisoformat(need(field, text))
    except ValueError:
        raise Fault.invalid_argument(f"{field}: not a date as YYYY-MM-DD") from None
