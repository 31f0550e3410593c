"""A branch that was called for each item of a list: one line for all of them, and below it those that are worth a look.

Its items stand in the report one by one, for programs. A person who reads twenty lines that say `ok` has not seen the one that
does not, so that of many only those are drawn that did not answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from fanmesh.model.endings import SATISFIES
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState

R, S = BranchReason, BranchState

MOST: Final = 12
"""With more items than that, those that answered are drawn by the line for all of them alone."""

ANSWERED: Final = frozenset({S.SUCCEEDED, S.FELL_BACK})


class Group(NamedTuple):
    """What the report says of one branch. `own`: its own row; None: it has one for each item. `items`: those rows."""

    own: BranchReport | None
    items: tuple[BranchReport, ...]

    @property
    def satisfied(self) -> bool:
        """Whether the branch, or any of its items, has given something, or need not."""
        rows = self.items if self.own is None else (self.own,)
        return any(row.state in SATISFIES or row.reason in (R.CONDITION, R.ROLLOUT) for row in rows)

    @property
    def answered(self) -> int:
        """How many of its items have."""
        return sum(row.state in ANSWERED for row in self.items)

    def shown(self) -> Sequence[BranchReport]:
        """The items that get a line of their own."""
        if len(self.items) <= MOST:
            return self.items
        return [row for row in self.items if row.state not in ANSWERED]

    def head(self) -> BranchReport:
        """The row of the branch: its own, or what its items have come to together."""
        if self.own is not None:
            return self.own
        worst = next((row for row in self.items if row.state not in SATISFIES), self.items[0])
        row = next((row for row in self.items if row.state in ANSWERED), worst)
        spans = [
            (one.started_after, one.started_after + (one.elapsed or 0)) for one in self.items if one.started_after is not None
        ]
        first = min((start for start, _ in spans), default=None)
        took = None if first is None else max(end for _, end in spans) - first
        said = [one.confidence for one in self.items if one.confidence is not None]
        return BranchReport(
            row.branch,
            row.worker,
            row.state,
            row.reason,
            started_after=first,
            elapsed=took,
            required=row.required,
            merged=any(one.merged for one in self.items),
            confidence=min(said, default=None),
        )

    def told(self) -> str:
        """How many of them answered, in words; empty where the branch's own row says how it ended."""
        if self.own is not None:
            return ""
        return "ok" if self.answered == len(self.items) else f"{self.answered} of {len(self.items)} ok"


def groups(branches: Sequence[BranchReport]) -> Iterator[Group]:
    """One for each branch, in plan order."""
    for _, rows in groupby(branches, lambda row: row.branch):
        own, items = None, []
        for row in rows:
            if row.item is None:
                own = row
            else:
                items.append(row)
        yield Group(own, tuple(items))
