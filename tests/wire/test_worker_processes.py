"""Workers that die, stop or crawl, as real processes: the reply comes, and says what happened."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from tests.kit.calls import Heard, ask
from tests.kit.mesh import At, Mesh, plan, running
from tests.kit.programs import Program, program, python
from tests.kit.roles import echo

pytestmark = pytest.mark.asyncio

R, S, C = BranchReason, BranchState, CompletedBy

PLANS = {
    "fence": plan("answers"),
    "needs": plan("hangs", "echo", budget="10s", hangs={"required": True}),
    "likes": plan("hangs", "echo", budget="10s"),
    "keeps": plan("begins", "echo", budget="10s"),
    "discards": plan("begins", "echo", budget="10s", begins={"on_stream_failure": "discard"}),
    "soft": plan("hangs", "echo", budget="10s", hangs={"soft_timeout": "150ms", "if_missing": {"use": "none"}}),
    "hard": plan("hangs", "echo", budget="10s", hangs={"timeout": "150ms", "required": True}),
    "late": plan("hangs", "echo", budget="300ms"),
}


@pytest_asyncio.fixture
async def process() -> AsyncIterator[Program]:
    """The worker's process."""
    async with program(*python("-m", "tests.kit.worker_process")) as started:
        yield started


@pytest_asyncio.fixture
async def mesh(process: Program) -> AsyncIterator[Mesh]:
    """A dispatcher with it, and with one more that answers."""
    port = (await process.says(r"port (\d+)"))[1]
    there = At(f"127.0.0.1:{port}")
    workers = {"hangs": there, "answers": there, "begins": At(there.address, stream=True), "echo": echo}
    async with running(workers, PLANS) as mesh:
        yield mesh


async def killed(mesh: Mesh, process: Program, plan_name: str) -> Heard:
    """A request during which the process is killed, once it has been called."""
    request = asyncio.create_task(mesh.dispatch(ask(plan_name, failure_in_message=True)))
    await process.says("called")
    assert (await mesh.dispatch(ask("fence"))).report.complete  # what was sent before has arrived
    process.signal(signal.SIGKILL)
    assert await process.ended() == -signal.SIGKILL
    return await request


@pytest.mark.parametrize("plan_name", ["needs", "likes"])
async def test_a_worker_that_dies_while_it_works(mesh: Mesh, process: Program, plan_name: str) -> None:
    """Its branch fails at once as UNAVAILABLE and sent; the plan fails with it only if it is required."""
    heard = await killed(mesh, process, plan_name)
    row = heard.row("hangs")
    assert (row.state, row.reason, row.status.code) == (S.FAILED, R.WORKER_ERROR, Code.UNAVAILABLE)
    assert not row.attempts[0].cancelled
    if plan_name == "needs":
        assert (heard.outcome().code, heard.outcome().info.reason) == (Code.UNAVAILABLE, "COMPLETION_UNREACHABLE")
        assert heard.report.completed_by == C.UNREACHABLE
    else:
        assert json.loads(heard.response.result.json) == {"echo": {}}
        assert heard.report.completed_by == C.ALL
        assert heard.report.degraded.error
        assert not heard.report.complete
        assert heard.trailer("fanmesh-complete") == "false"


@pytest.mark.parametrize(("plan_name", "merged"), [("keeps", {"begins": {"begun": True}}), ("discards", {})])
async def test_a_worker_that_dies_in_the_middle_of_its_stream(
    mesh: Mesh, process: Program, plan_name: str, merged: dict[str, object]
) -> None:
    """What it sent is kept or discarded as the plan says; the branch has failed either way."""
    heard = await killed(mesh, process, plan_name)
    assert json.loads(heard.response.result.json) == merged | {"echo": {}}
    row = heard.row("begins")
    assert (row.state, row.reason, row.merged) == (S.FAILED, R.STREAM_BROKEN, bool(merged))
    assert heard.report.degraded.partial_branch is bool(merged)
    assert heard.report.coverage.ratio == 0.5


async def test_a_stopped_worker_is_left_behind(mesh: Mesh, process: Program) -> None:
    """SIGSTOP: connected, silent. After its soft timeout nobody waits, and its default stands in."""
    process.signal(signal.SIGSTOP)
    heard = await mesh.dispatch(ask("soft"))
    assert json.loads(heard.response.result.json) == {"hangs": "none", "echo": {}}
    assert (heard.row("hangs").state, heard.row("hangs").reason) == (S.DEFAULTED, R.SOFT_TIMEOUT)
    assert heard.report.completed_by == C.SOFT_TIMEOUT
    assert heard.report.degraded.soft_timeout
    assert heard.row("hangs").elapsed.ToMilliseconds() >= 150


async def test_a_stopped_worker_that_is_required(mesh: Mesh, process: Program) -> None:
    """It is waited for until its hard timeout, and the request ends then, long before its own deadline."""
    process.signal(signal.SIGSTOP)
    heard = await mesh.dispatch(ask("hard", failure_in_message=True))
    assert heard.outcome().code is Code.DEADLINE_EXCEEDED
    assert (heard.row("hangs").state, heard.row("hangs").reason) == (S.TIMED_OUT, R.HARD_TIMEOUT)
    assert heard.row("echo").state == S.SUCCEEDED
    assert heard.report.completed_by == C.UNREACHABLE


async def test_a_stopped_worker_and_the_plans_deadline(mesh: Mesh, process: Program) -> None:
    """Without a timer of its own it is cut when the plan must reply; what the others said is the result."""
    process.signal(signal.SIGSTOP)
    heard = await mesh.dispatch(ask("late"))
    assert json.loads(heard.response.result.json) == {"echo": {}}
    assert (heard.row("hangs").state, heard.row("hangs").reason) == (S.TIMED_OUT, R.REQUEST_DEADLINE)
    assert heard.report.completed_by == C.HARD_TIMEOUT


async def test_a_worker_that_comes_back(mesh: Mesh, process: Program) -> None:
    """A process that was only stopped answers the cancellation when it wakes: nothing is left of the call anywhere."""
    process.signal(signal.SIGSTOP)
    await mesh.dispatch(ask("soft"))
    process.signal(signal.SIGCONT)
    await mesh.idle()
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
