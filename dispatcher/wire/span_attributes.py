"""What the spans of a request say. Names are OpenTelemetry's where it has one (rpc, server, error), else under `fanmesh.`.

Nothing that a caller or a worker wrote is in here: no input, no answer, no error text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.plan import Worker
from fanmesh.model.fault import Code, Fault
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.report import Report
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.runtime.tracing import Attribute

KINDS: Final = {kind: kind.name.lower() for kind in AttemptKind}
OK: Final = Code.OK.name  # read once: on Python 3.11 a member's name is two calls, and every attempt has one
UNARY_METHOD: Final = "fanmesh.v1.WorkerService/Process"
STREAM_METHOD: Final = "fanmesh.v1.WorkerService/ProcessStream"


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
    worker = run.node.worker
    attributes: dict[str, Attribute] = {
        "fanmesh.plan": run.plan.name,
        "fanmesh.branch": run.node.id,
        "fanmesh.worker": worker.name,
    }
    if attempt is None:
        return attributes
    attributes["fanmesh.attempt.number"] = attempt.number
    attributes["fanmesh.attempt.kind"] = KINDS[attempt.kind]
    attributes["fanmesh.attempt.won"] = isinstance(attempt.outcome, Success) and run.deciding in {None, attempt}
    if is_remote(worker):
        attributes["rpc.system.name"] = "grpc"
        attributes["rpc.method"] = STREAM_METHOD if worker.streams else UNARY_METHOD
        attributes["rpc.response.status_code"] = code
        if attempt.endpoint is not None:
            host, port = address_of(attempt.endpoint.address)
            attributes["server.address"] = host
            if port:
                attributes["server.port"] = port
    return attributes


def of_branch(run: BranchRun, code: str) -> dict[str, Attribute]:
    """The branch's ending, beside its first attempt."""
    attributes = of_attempt(run, run.attempts[0] if run.attempts else None, code)
    state = BranchState.CANCELLED if run.state is BranchState.PENDING else run.state  # its task was stopped from outside
    attributes["fanmesh.branch.state"] = state.name
    attributes["fanmesh.branch.required"] = run.node.required
    attributes["fanmesh.branch.weight"] = run.node.weight
    if run.reason is not BranchReason.NONE:
        attributes["fanmesh.branch.reason"] = run.reason.name
    if len(run.attempts) > 1:
        attributes["fanmesh.branch.attempts"] = len(run.attempts)
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


@lru_cache(maxsize=1024)
def address_of(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 = there is none (a socket's path)."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else (address, 0)
