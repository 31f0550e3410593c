"""Requests, branches and attempts by hand, for tests of observers."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.request import Request, Trace
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.model.values import Value


@dataclass(frozen=True)
class Address:
    """An endpoint."""

    address: str = "127.0.0.1:50051"


@dataclass(frozen=True)
class NoInput:
    """An input that nobody reads."""

    value: Value = None


def request_of(trace: Trace = Trace(), arrived: int = 0) -> Request:
    """A request named `r1` for plan `p`."""
    return Request("r1", "p", NoInput(), arrived, trace=trace)


def run_of(request: Request, branch: str = "geo", target: str = "geo:50051", *, streams: bool = False) -> BranchRun:
    """A branch that has not begun."""
    node = Node(branch, Worker(branch, target, streams=streams))
    return BranchRun(request, Plan("p", (node,)), node, 0, 0, lambda *_: None)


def attempt_of(run: BranchRun, sent_at: int = 0, kind: AttemptKind = AttemptKind.FIRST, address: str = "") -> Attempt:
    """The branch's next attempt, about to leave."""
    attempt = Attempt(run, len(run.attempts), kind, sent_at)
    attempt.endpoint = Address(address) if address else Address()
    run.attempts.append(attempt)
    if run.started_at is None:
        run.started_at = sent_at
    return attempt


def ended(attempt: Attempt, outcome: Outcome | None, at: int = 0) -> Attempt:
    """The attempt, over; outcome None = we cancelled it."""
    attempt.outcome, attempt.ended_at, attempt.cancelled = outcome, at, outcome is None
    return attempt


def closed(run: BranchRun, state: BranchState, reason: BranchReason = BranchReason.NONE) -> BranchRun:
    """The branch, over, with its last attempt's outcome."""
    run.state, run.reason = state, reason
    run.outcome = run.attempts[-1].outcome if run.attempts else None
    return run
