"""Several observers as one.

The engine tells one observer, so that its hot path knows neither how many there are nor what they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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


EVENTS: Final = tuple(name for name in vars(Nobody) if not name.startswith("_"))


class Several(Nobody):
    """Tells each in the given order.

    What is called is decided when it is made: an event that nobody looks at is a no-op, and one that one observer looks at is
    that observer's own method. Eight events times a few observers would otherwise be most of what a branch costs here.
    """

    def __init__(self, observers: tuple[RequestObserver, ...]) -> None:
        for event in EVENTS:
            looking = [getattr(one, event) for one in observers if getattr(type(one), event) is not getattr(Nobody, event)]
            setattr(self, event, looking[0] if len(looking) == 1 else _each(looking))


def _each(looking: list[Callable[..., None]]) -> Callable[..., None]:
    match looking:
        case []:
            return lambda *_: None
        case [first, second]:

            def both(*what: object) -> None:
                first(*what)
                second(*what)

            return both
        case _:

            def all_of_them(*what: object) -> None:
                for look in looking:
                    look(*what)

            return all_of_them


def combine(*observers: RequestObserver) -> RequestObserver:
    """All of them as one; one is itself, none looks away."""
    match observers:
        case ():
            return Nobody()
        case (one,):
            return one
        case _:
            return Several(observers)
