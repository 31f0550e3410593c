"""What `until: predicate`, `confidence` and `quiet` go by: values and when they came, where all other rules go by counts.

Made only for a plan that has such a rule, because for this one a part of a stream can complete the request, and without one a
part decides nothing and costs nothing. It only keeps what the rules go by; `completion` decides, in the order of all rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from fanmesh.model.completion import CompletionRule, Evaluate, UntilKind
from fanmesh.model.events import Arm, Effect
from fanmesh.model.states import AlarmKind
from fanmesh.model.values import Value

K = UntilKind

QUIET: Final = -1
PREDICATE: Final = -2
"""The places of their alarms among those of the nodes, which are numbered from 0."""


class Due(Protocol):
    """Where alarms are kept: see `alarms`."""

    def add_soft(self, due: int, node: int, /) -> None:
        """The alarm at place `node` is at `due`."""


class Watch:
    """One request. `quiet`, `holds`: these rules are met now. `surest`: the best confidence among what there is, as it is told.

    `errors`: how often the predicate could not be evaluated.
    """

    __slots__ = (
        "_again",
        "_evaluate",
        "_last",
        "_length",
        "_put_off",
        "_stale",
        "_waits",
        "_wishes",
        "confident",
        "errors",
        "holds",
        "interval",
        "quiet",
        "surest",
    )

    def __init__(self, rule: CompletionRule, evaluate: Evaluate | None) -> None:
        lengths = [int(until.value) for until in rule.until if until.kind is K.QUIET]
        self._length = min(lengths, default=0)
        self._evaluate = evaluate
        self.interval = 0 if rule.predicate is None else rule.predicate.min_interval
        self.confident = any(until.kind is K.CONFIDENCE for until in rule.until)
        self.quiet = self.holds = False
        self.surest = 0.0
        self.errors = 0
        self._last = 0  # when something came last
        self._waits = False  # the alarm of `quiet` is on its way
        self._stale = False  # something has come since the predicate was asked
        self._again = 0  # when it may be asked again
        self._put_off = False  # the alarm for that is on its way
        self._wishes: list[Effect] = []

    def came(self, at: int, alarms: Due, *, news: bool) -> None:
        """A part, an ending or an exclusion at `at`. `news`: something is part of the merged value now that was not.

        The alarm of `quiet` stays where it is if one is on its way; when it comes, it moves on. Moved with every part it would
        be a message for each of them, and a timer.
        """
        self._stale = True
        if news and self._length:
            self._last = at
            self.quiet = False
            if not self._waits:
                self._wait(alarms)

    def passed(self, which: int, due: int, alarms: Due) -> bool:
        """The alarm of QUIET or PREDICATE was due at `due`. Whether that makes a difference."""
        if which == PREDICATE:
            self._put_off = False
            return True
        if self._last + self._length > due:
            self._wait(alarms)
            return False
        self._waits = False
        self.quiet = True
        return True

    def ask(self, at: int, alarms: Due, merged: Callable[[], Value], coverage: Callable[[], float]) -> None:
        """Evaluate the predicate, the floor holding, if something has come since; later, if it is too soon for that."""
        if self._evaluate is None or not self._stale:
            return
        if at < self._again:
            if not self._put_off:
                self._put_off = True
                alarms.add_soft(self._again, PREDICATE)
                self._wishes.append(Arm(AlarmKind.PREDICATE, self._again))
            return
        self._stale = False
        self._again = at + self.interval
        answer = self._evaluate(merged, coverage())
        self.holds = answer is True
        self.errors += answer is None

    def wishes(self) -> list[Effect]:
        """The alarms that are to be armed; each once."""
        wishes, self._wishes = self._wishes, []
        return wishes

    def _wait(self, alarms: Due) -> None:
        due = self._last + self._length
        self._waits = True
        alarms.add_soft(due, QUIET)
        # One that was not yet told is overtaken by this one: of a kind the newest counts.
        self._wishes = [*(wish for wish in self._wishes if wish[0] is not AlarmKind.QUIET), Arm(AlarmKind.QUIET, due)]
