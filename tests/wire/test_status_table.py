"""The status table, second half: requests that ran and have no result. Each goes through every door there is.

A status holds a summary of the report; all of it is in the message of a call that asks for it, and in a stream's last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.transport.port import StatusError
from fanmesh.v1 import dispatcher_pb2
from tests.kit.calls import Heard, ask, size_of
from tests.kit.mesh import NOWHERE, AnyWorker, Mesh, plan, running
from tests.kit.roles import Hanging, echo, fails, message, part, parts, raw_answer, says

pytestmark = pytest.mark.asyncio

R, S, C = BranchReason, BranchState, CompletedBy


@dataclass(frozen=True, slots=True)
class Case:
    """Workers and a plan `p`, and how a request for it must end. `info` is what ErrorInfo must hold among others."""

    workers: Mapping[str, AnyWorker]
    plan: Mapping[str, Any]
    code: Code
    reason: str
    completed_by: CompletedBy
    state: BranchState
    why: BranchReason
    info: Mapping[str, str] = field(default_factory=dict)
    pushback: str | None = None
    server: Mapping[str, Any] = field(default_factory=dict)
    request: dispatcher_pb2.DispatchRequest = field(default_factory=ask)

    def running(self) -> AbstractAsyncContextManager[Mesh]:
        """The case, ready to be asked."""
        return running(self.workers, {"p": self.plan}, server=self.server)


def unreachable(worker: AnyWorker, cause: Code, why: BranchReason = R.WORKER_ERROR, code: Code = Code.UNAVAILABLE) -> Case:
    """The only branch fails, so that the floor cannot be met."""
    info = {"branch": "w", "cause_code": cause.name, "branch_reason": why.name}
    return Case({"w": worker}, plan("w"), code, "COMPLETION_UNREACHABLE", C.UNREACHABLE, S.FAILED, why, info, "-1")


def lying(worker: AnyWorker, why: BranchReason = R.INVALID_RESPONSE) -> Case:
    """The only branch gives an answer that is none."""
    return unreachable(worker, Code.INTERNAL, why)


BROKEN = StatusError(Code.UNAVAILABLE, "gone")
DATA = says({"text": "x" * 3000})
SMALL = {"limits": {"part": "1KiB", "branch": "2KiB", "reply": "1KiB"}}

CASES = {
    "nothing to run": Case(
        *({"w": echo}, plan("w", w={"if": "false"}), Code.FAILED_PRECONDITION, "NOTHING_TO_RUN"),
        *(C.EMPTY, S.SKIPPED, R.CONDITION),
    ),
    "nobody listens": unreachable(NOWHERE, Code.UNAVAILABLE),
    "worker's error": unreachable(fails(Code.NOT_FOUND), Code.NOT_FOUND),
    "worker's own deadline": unreachable(fails(Code.DEADLINE_EXCEEDED), Code.DEADLINE_EXCEEDED, code=Code.DEADLINE_EXCEEDED),
    "worker is exhausted": unreachable(fails(Code.RESOURCE_EXHAUSTED), Code.RESOURCE_EXHAUSTED, code=Code.RESOURCE_EXHAUSTED),
    "worker aborts": unreachable(fails(Code.ABORTED), Code.ABORTED, code=Code.ABORTED),
    "two causes": Case(
        *({"w": fails(Code.ABORTED), "v": fails(Code.ABORTED)}, plan("w", "v"), Code.UNAVAILABLE, "COMPLETION_UNREACHABLE"),
        *(C.UNREACHABLE, S.FAILED, R.WORKER_ERROR, {"cause_code": "ABORTED"}, "-1"),
    ),
    "required branch fails beside a success": Case(
        *({"w": fails(Code.INTERNAL), "v": echo}, plan("w", "v", w={"required": True}), Code.UNAVAILABLE),
        *("COMPLETION_UNREACHABLE", C.UNREACHABLE, S.FAILED, R.WORKER_ERROR, {"branch": "w", "cause_code": "INTERNAL"}, "-1"),
    ),
    "required by the caller": Case(
        *({"w": fails(Code.INTERNAL), "v": echo}, plan("w", "v"), Code.UNAVAILABLE, "COMPLETION_UNREACHABLE"),
        *(C.UNREACHABLE, S.FAILED, R.WORKER_ERROR, {"branch": "w"}, "-1"),
        request=ask(accept={"required": ["w"]}),
    ),
    "branch times out": Case(
        *({"w": Hanging().worker}, plan("w", w={"timeout": "50ms"}), Code.DEADLINE_EXCEEDED, "COMPLETION_UNREACHABLE"),
        *(C.UNREACHABLE, S.TIMED_OUT, R.HARD_TIMEOUT, {"branch": "w", "cause_code": "DEADLINE_EXCEEDED"}, "-1"),
    ),
    "plan's deadline": Case(
        *({"w": Hanging().worker}, plan("w", budget="60ms"), Code.DEADLINE_EXCEEDED, "DEADLINE"),
        *(C.HARD_TIMEOUT, S.TIMED_OUT, R.REQUEST_DEADLINE),
    ),
    "caller's tighter budget": Case(
        *({"w": Hanging().worker}, plan("w"), Code.DEADLINE_EXCEEDED, "DEADLINE"),
        *(C.HARD_TIMEOUT, S.TIMED_OUT, R.REQUEST_DEADLINE),
        request=ask(budget={"latency": {"nanos": 60_000_000}}),
    ),
    "no time left": Case(
        *({"w": Hanging().worker}, plan("w"), Code.DEADLINE_EXCEEDED, "DEADLINE"),
        *(C.HARD_TIMEOUT, S.SKIPPED, R.NOT_STARTED_NO_TIME),
        request=ask(budget={"latency": {"nanos": 1}}),
    ),
    "result too large": Case(
        *({"w": DATA, "v": DATA}, plan("w", "v"), Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", C.ALL, S.SUCCEEDED, R.NONE),
        server={"limits": {"reply": "4KiB"}},
    ),
    "result does not fit the kind": Case(
        *({"w": says({"n": 2**60})}, plan("w"), Code.INVALID_ARGUMENT, "INPUT_INVALID", C.ALL, S.SUCCEEDED, R.NONE),
        info={"field": "reply_kind"},
        request=ask(reply_kind=1),
    ),
    "answer too large": Case(
        *({"w": DATA}, plan("w"), Code.RESOURCE_EXHAUSTED, "COMPLETION_UNREACHABLE", C.UNREACHABLE, S.FAILED, R.TOO_LARGE),
        *({"cause_code": "RESOURCE_EXHAUSTED"}, "-1", SMALL),
    ),
    "answer over the transport's limit": unreachable(
        raw_answer(b"x" * (17 * 2**20)), Code.RESOURCE_EXHAUSTED, R.TOO_LARGE, Code.RESOURCE_EXHAUSTED
    ),
    "part too large": Case(
        *({"w": parts(part('"a"'), part(f'"{"x" * 2000}"'))}, plan("w"), Code.RESOURCE_EXHAUSTED, "COMPLETION_UNREACHABLE"),
        *(C.UNREACHABLE, S.FAILED, R.TOO_LARGE, {}, "-1", SMALL),
    ),
    "too many parts": Case(
        *({"w": parts(*[part(f'"{"x" * 900}"')] * 3)}, plan("w"), Code.RESOURCE_EXHAUSTED, "COMPLETION_UNREACHABLE"),
        *(C.UNREACHABLE, S.FAILED, R.TOO_LARGE, {}, "-1", SMALL),
    ),
    "rubbish": lying(raw_answer(b"\xff\xff\xff\xff")),
    "confidence NaN": lying(message(output={"json": "1"}, confidence=float("nan"))),
    "confidence above 1": lying(message(output={"json": "1"}, confidence=1.5)),
    "confidence below 0": lying(message(output={"json": "1"}, confidence=-0.1)),
    "negative usage": lying(message(output={"json": "1"}, usage={"cost_usd_micros": -1})),
    "broken JSON": lying(message(output={"json": '{"a": '})),
    "data NaN": lying(message(output={"data": {"n": float("nan")}})),
    "JSON beyond 64 bits": lying(message(output={"json": str(2**64)})),
    "a part of rubbish": lying(parts(part('"a"'), b"\xff\xff")),
    "a part with confidence NaN": lying(parts(part('"a"', confidence=float("nan")))),
    "a part that does not fit": lying(parts(part('"a"'), part("1"))),
    "stream breaks after parts": unreachable(parts(part('"a"'), then=BROKEN), Code.UNAVAILABLE, R.STREAM_BROKEN),
    "stream breaks before parts": unreachable(parts(then=BROKEN), Code.UNAVAILABLE),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_status(name: str) -> None:
    """Code, reason and metadata of the table; a summary of at most 4 KB; trailers that fit into 8 KB."""
    case = CASES[name]
    async with case.running() as mesh:
        heard = await mesh.dispatch(case.request)
    check_status(heard, case)
    assert heard.trailer("fanmesh-complete") == "false"
    assert heard.trailer("grpc-retry-pushback-ms") == case.pushback
    summary = heard.summary
    assert summary is not None
    assert summary.ByteSize() <= 4096
    assert size_of(heard.trailers) <= 8192
    assert summary.completed_by == case.completed_by
    assert summary.plan == "p"
    (row,) = (row for row in summary.worst if row.branch == "w")
    assert (row.state, row.reason) == (case.state, case.why)


@pytest.mark.parametrize("name", CASES)
async def test_the_message(name: str) -> None:
    """With failure_in_message the call is OK, `outcome` is the status, and the report is whole; there is no result."""
    case = CASES[name]
    request = dispatcher_pb2.DispatchRequest()
    request.CopyFrom(case.request)
    request.failure_in_message = True
    async with case.running() as mesh:
        heard = await mesh.dispatch(request)
    assert heard.code is Code.OK
    assert heard.trailer("fanmesh-complete") == "false"
    assert heard.trailer("grpc-retry-pushback-ms") is None
    check_message(heard, case)


@pytest.mark.parametrize("name", CASES)
async def test_the_stream(name: str) -> None:
    """A stream's last message has the whole report; then comes the same status as everywhere."""
    case = CASES[name]
    async with case.running() as mesh:
        heard = await mesh.stream(case.request)
    check_status(heard, case)
    assert heard.trailer("fanmesh-complete") == "false"
    assert heard.trailer("grpc-retry-pushback-ms") == case.pushback
    assert [event.seq for event in heard.events] == [1]
    assert heard.events[-1].coverage == heard.report.coverage
    check_message(heard, case)


def check_status(heard: Heard, case: Case) -> None:
    """What stands in the status, however it came."""
    assert (heard.code, heard.info.reason, heard.info.domain) == (case.code, case.reason, "fanmesh")
    assert dict(heard.info.metadata).items() >= dict(case.info).items()
    assert heard.rich is not None
    assert (heard.rich.code, heard.rich.message) == (int(heard.code), heard.message)


def check_message(heard: Heard, case: Case) -> None:
    """What stands in the message: outcome and report, and no result."""
    check_status(heard.outcome(), case)
    assert not heard.response.HasField("result")
    assert heard.report.completed_by == case.completed_by
    assert not heard.report.complete
    assert [row.branch for row in heard.report.branches] == list(case.plan["branches"])
    assert (heard.row("w").state, heard.row("w").reason) == (case.state, case.why)
