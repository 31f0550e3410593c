"""What the spans of a request say. Names are OpenTelemetry's where it has one (rpc, server, error), else under `fanmesh.`.

Nothing that a caller or a worker wrote is in here: no input, no answer, no error text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dispatcher.flow.prepare import is_required
from dispatcher.layers.types import Attempt, BranchRun, Note
from dispatcher.model.plan import Worker
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.report import Report
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.model.times import MS
from fanmesh.runtime.tracing import Attribute

KINDS: Final = {kind: kind.name.lower() for kind in AttemptKind}
OK: Final = Code.OK.name  # read once: on Python 3.11 a member's name is two calls, and every attempt has one
PENDING: Final = BranchState.PENDING
WANTED: Final = frozenset({BranchState.SUCCEEDED, BranchState.FELL_BACK, PENDING})
TIMED_OUT: Final = BranchState.TIMED_OUT
CACHE: Final = {"cache_hit": "hit", "cache_joined": "joined", "cache_stale": "stale", "cache_bypassed": "bypassed"}
"""What the notes of a branch say of its cache; the last one counts, and without one of these it was a miss."""

UNARY_METHOD: Final = "fanmesh.v1.WorkerService/Process"
STREAM_METHOD: Final = "fanmesh.v1.WorkerService/ProcessStream"


def method_of(worker: Worker) -> str:
    """`package.Service/Method` that is called: ours, or the worker's own."""
    if worker.method is not None:
        return worker.method.name
    return STREAM_METHOD if worker.streams else UNARY_METHOD


def is_remote(worker: Worker) -> bool:
    """Whether it is called over gRPC; otherwise it is a coroutine of this process."""
    return bool(worker.target or worker.endpoints)


def code_of(outcome: Outcome | None) -> str:
    """The gRPC code of an outcome; none = we cancelled it."""
    match outcome:
        case Success():
            return OK
        case Fault():
            return outcome.code.name
        case None:
            return Code.CANCELLED.name


def of_attempt(run: BranchRun, attempt: Attempt | None, code: str) -> dict[str, Attribute]:
    """What is known of one call, or of a branch without any. `code` is the call's gRPC code."""
    worker = run.node.worker if attempt is None else attempt.worker
    attributes: dict[str, Attribute] = {
        "fanmesh.plan": run.plan.name,
        "fanmesh.branch": run.node.id,
        "fanmesh.worker": worker.name,
    }
    if run.item is not None:
        attributes["fanmesh.item"] = run.item
    if attempt is None:
        return attributes
    attributes["fanmesh.attempt.number"] = attempt.number
    attributes["fanmesh.attempt.kind"] = KINDS[attempt.kind]
    wanted = run.state in WANTED  # pending: the branch goes on, and nobody else has won yet
    attributes["fanmesh.attempt.won"] = wanted and isinstance(attempt.outcome, Success) and run.deciding in {None, attempt}
    if is_remote(worker):
        attributes["rpc.system.name"] = "grpc"
        attributes["rpc.method"] = method_of(worker)
        attributes["rpc.response.status_code"] = code
        if attempt.endpoint is not None:
            _add_address(attributes, attempt.endpoint.address)
    return attributes


def of_branch(run: BranchRun) -> dict[str, Attribute]:
    """The branch's ending, beside its first attempt."""
    made = run.made
    first = made[0] if made else None
    outcome = run.outcome if first is None else first.outcome
    timed_out = run.state is TIMED_OUT and not isinstance(outcome, Fault)  # we cancelled the call, but what it means is this
    attributes = of_attempt(run, first, Code.DEADLINE_EXCEEDED.name if timed_out else code_of(outcome))
    state = BranchState.CANCELLED if run.state is PENDING else run.state  # its task was stopped from outside
    attributes["fanmesh.branch.state"] = state.name
    attributes["fanmesh.branch.required"] = is_required(run.node, run.request)
    attributes["fanmesh.branch.weight"] = run.node.weight
    if run.reason is not BranchReason.NONE:
        attributes["fanmesh.branch.reason"] = run.reason.name
    if len(made) > 1:
        attributes["fanmesh.branch.attempts"] = len(made)
    if run.node.cache is not None:
        said = [CACHE.get(note.what, "miss") for note in run.notes if note.what.startswith("cache_")]
        attributes["fanmesh.cache.result"] = said[-1] if said else "miss"
    if run.queued >= MS:  # who is given a place at once has waited some µs, too
        attributes["fanmesh.branch.queued_ms"] = run.queued / MS
    return attributes


def of_note(note: Note) -> dict[str, Attribute]:
    """Why a policy decided something, and about which endpoint."""
    attributes: dict[str, Attribute] = {"fanmesh.policy.why": note.why}
    if note.endpoint:
        _add_address(attributes, note.endpoint)
    return attributes


def of_report(report: Report) -> dict[str, Attribute]:
    """What a report says in a line."""
    attributes: dict[str, Attribute] = {
        "fanmesh.plan": report.plan,
        "fanmesh.route": report.route,
        "fanmesh.completed_by": report.completed_by.name,
        "fanmesh.complete": report.complete,
        "fanmesh.coverage": report.coverage.ratio,
        "fanmesh.aggregator_mode": report.aggregator_mode.name,
    }
    if report.degraded:
        attributes["fanmesh.degraded"] = report.degraded.names()
    return attributes


def of_merge(report: Report) -> dict[str, Attribute]:
    """What the aggregator says of a merge, too."""
    completed_by = report.completed_by.name
    return {"fanmesh.plan": report.plan, "fanmesh.request_id": report.request_id, "fanmesh.completed_by": completed_by}


def _add_address(attributes: dict[str, Attribute], address: str) -> None:
    host, port = address_of(address)
    attributes["server.address"] = host
    if port:
        attributes["server.port"] = port


@lru_cache(maxsize=1024)
def address_of(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 = there is none (a socket's path)."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else (address, 0)
