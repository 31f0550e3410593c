"""The account of one request, as callers, tests and tools read it. The same nouns on both sides of the wire.

Times are ns: `started_after` since the request's arrival, `elapsed` since the first send; None = nothing was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fanmesh.model.coverage import UNDEGRADED, Coverage, Degraded
from fanmesh.model.merge import Conflict
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.usage import NOTHING, Usage


class AttemptReport(NamedTuple):
    """The account of one attempt. `fault` is empty if nothing went wrong. `worker`: a fallback's is not the branch's own."""

    number: int
    kind: AttemptKind
    endpoint: str
    started_after: int
    elapsed: int
    code: int = 0
    fault: str = ""
    won: bool = False
    cancelled: bool = False
    usage: Usage = NOTHING
    worker: str = ""


class PolicyDecision(NamedTuple):
    """What a policy decided about a branch, and why; only what is out of the ordinary. `after`: ns since the arrival."""

    what: str
    why: str
    after: int
    endpoint: str = ""


class BranchReport(NamedTuple):
    """The account of one branch. `code` and `detail` are the last error's; `code` 0 = none.

    `item`: it is of one item of a list, at this position, and `item_key` is what tells it from the others.
    """

    branch: str
    worker: str
    state: BranchState
    reason: BranchReason = BranchReason.NONE
    endpoint: str = ""
    code: int = 0
    detail: str = ""
    attempts: tuple[AttemptReport, ...] = ()
    started_after: int | None = None
    elapsed: int | None = None
    queued: int = 0
    required: bool = False
    weight: float = 1.0
    sla_met: bool | None = None
    confidence: float | None = None
    usage: Usage = NOTHING
    merged: bool = False
    span_id: str = ""
    decisions: tuple[PolicyDecision, ...] = ()
    item: int | None = None
    item_key: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The account of one request."""

    request_id: str
    plan: str
    completed_by: CompletedBy
    coverage: Coverage
    branches: tuple[BranchReport, ...]
    degraded: Degraded = UNDEGRADED
    complete: bool = False
    route: str = ""
    config_version: str = ""
    trace_id: str = ""
    conflicts: tuple[Conflict, ...] = ()
    elapsed: int = 0
    aggregator_mode: AggregatorMode = AggregatorMode.EMBEDDED
    critical_path: tuple[str, ...] = ()

    def __getitem__(self, branch: str) -> BranchReport:
        """The row of `branch`; KeyError names the branches there are."""
        for row in self.branches:
            if row.branch == branch:
                return row
        raise KeyError(f"no branch {branch!r}; there are {', '.join(row.branch for row in self.branches)}")

    @property
    def missing(self) -> tuple[str, ...]:
        """Branches that were wanted and whose own answer is not there."""
        fine = (BranchState.SUCCEEDED, BranchState.FELL_BACK)
        unwanted = (BranchReason.CONDITION, BranchReason.ROLLOUT)
        return tuple(dict.fromkeys(b.branch for b in self.branches if b.state not in fine and b.reason not in unwanted))
