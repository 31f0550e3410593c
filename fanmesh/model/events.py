"""The event log of one request, and what the fold over it returns.

The log is the whole truth of a request: the same log gives the same verdict and the same result in any process, which is
what makes the remote aggregator replaceable in mid-request. Tuples, not frozen dataclasses: some are made per branch, and a
tuple costs a third.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from fanmesh.model.completion import CompletionRule
from fanmesh.model.coverage import Coverage
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, CompletedBy, EmitMode, Gather, IfMissing
from fanmesh.model.usage import NOTHING, Usage
from fanmesh.model.values import Value


class FoldNode(NamedTuple):
    """A node as the fold needs it. `soft` is in ns, counted from the node's STARTED. `write`: it is not cancelled once sent.

    `gather`: it becomes a leaf for each item of a list, and this is what their answers become; None = it is one call.
    """

    id: str
    weight: float = 1.0
    required: bool = False
    soft: int | None = None
    if_missing: IfMissing = IfMissing.SKIP
    default: Value = None
    write: bool = False
    gather: Gather | None = None


class Start(NamedTuple):
    """The request, its nodes and its rules. `stop` and `total` are in ns since the request's start.

    `attributes`: (name, value) of those that the predicate reads, sorted; an absent one is "".
    """

    request_id: str
    plan: str
    nodes: tuple[FoldNode, ...]
    stop: int
    total: int
    completion: CompletionRule
    merge: MergeSpec
    emit: EmitMode = EmitMode.FINAL
    min_interval: int = 0
    traceparent: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


class Change(NamedTuple):
    """A node's fate before it answers, or with `item` that of one of its leaves.

    EXPANDED: the node has become a leaf for each of `items`, their keys; with more than `tolerated` failures it fails.
    """

    branch: str
    kind: ChangeKind
    reason: BranchReason = BranchReason.NONE
    item: int | None = None
    items: tuple[str, ...] = ()
    tolerated: int = 0


class PartArrived(NamedTuple):
    """A part of a stream; parts are told apart by (branch, item, attempt, part_seq)."""

    branch: str
    attempt: int
    part_seq: int
    replace: bool
    value: Value
    confidence: float | None = None
    span_id: bytes = b""
    trace_flags: int = 0
    item: int | None = None


class End(NamedTuple):
    """A branch, or with `item` one of its leaves, ended. `streamed`: its parts are its answer, and `value` is None."""

    branch: str
    attempt: int
    state: BranchState
    reason: BranchReason = BranchReason.NONE
    value: Value = None
    streamed: bool = False
    confidence: float | None = None
    usage: Usage = NOTHING
    code: int = 0
    detail: str = ""
    span_id: bytes = b""
    trace_flags: int = 0
    item: int | None = None


class Alarm(NamedTuple):
    """Time passed: what was due by now is due, whether or not it is the one named here."""

    kind: AlarmKind
    branch: str = ""


Happening: TypeAlias = Start | Change | PartArrived | End | Alarm


class Event(NamedTuple):
    """One entry of the log. `at`: ns since the request's start, on the dispatcher's clock, never decreasing."""

    seq: int
    at: int
    what: Happening


class Arm(NamedTuple):
    """A wish for an Alarm at `at`. One per kind: the newest replaces."""

    kind: AlarmKind
    at: int


class Update(NamedTuple):
    """The result so far has changed. `read` gives the latest value and its coverage, which may be newer than this update.

    A callable, so that snapshots which nobody takes cost nothing.
    """

    read: Callable[[], tuple[Value, Coverage]]


class Verdict(NamedTuple):
    """The request is complete. Whatever has a seq above `applied_seq` is late.

    `at`: when the rule was met. `accepted`: the floor holds.
    """

    completed_by: CompletedBy
    applied_seq: int
    at: int
    accepted: bool


class Result(NamedTuple):
    """The merged result; the last effect. `error`: why there is none although the plan accepts the outcome."""

    value: Value
    coverage: Coverage
    conflicts: tuple[Conflict, ...] = ()
    merged: tuple[str, ...] = ()
    error: str = ""


Effect: TypeAlias = Arm | Update | Verdict | Result
