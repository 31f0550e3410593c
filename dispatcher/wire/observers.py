"""Several observers as one.

The engine tells one observer, so that its hot path knows neither how many there are nor what they are for.
"""

from __future__ import annotations

from dispatcher.flow.ports import RequestObserver
from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.request import Refusal, Request
from fanmesh.model.report import Report


class Nobody(RequestObserver):
    """Looks away. Observers that care for some events only derive from it."""

    def branch_started(self, run: BranchRun) -> None:
        """Nothing."""

    def attempt_started(self, attempt: Attempt) -> None:
        """Nothing."""

    def attempt_ended(self, attempt: Attempt) -> None:
        """Nothing."""

    def branch_ended(self, run: BranchRun) -> None:
        """Nothing."""

    def request_started(self, request: Request) -> None:
        """Nothing."""

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Nothing."""

    def late(self, run: BranchRun) -> None:
        """Nothing."""

    def expression_error(self, where: str) -> None:
        """Nothing."""


class Several(RequestObserver):
    """Tells each in the given order."""

    __slots__ = ("_observers",)

    def __init__(self, observers: tuple[RequestObserver, ...]) -> None:
        self._observers = observers

    def branch_started(self, run: BranchRun) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.branch_started(run)

    def attempt_started(self, attempt: Attempt) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.attempt_started(attempt)

    def attempt_ended(self, attempt: Attempt) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.attempt_ended(attempt)

    def branch_ended(self, run: BranchRun) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.branch_ended(run)

    def request_started(self, request: Request) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.request_started(request)

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.request_ended(request, report, refusal, now)

    def late(self, run: BranchRun) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.late(run)

    def expression_error(self, where: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.expression_error(where)


def combine(*observers: RequestObserver) -> RequestObserver:
    """All of them as one; one is itself, none looks away."""
    match observers:
        case ():
            return Nobody()
        case (one,):
            return one
        case _:
            return Several(observers)
