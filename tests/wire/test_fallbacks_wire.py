"""Fallbacks over real connections: who is down, who is slow, and what is told of both; a synthesis with either aggregator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchReason, BranchState
from fanmesh.v1 import dispatcher_pb2, report_pb2
from fanmesh.workers import Context, Worker, worker
from tests.kit.calls import ask
from tests.kit.mesh import NOWHERE, Told, plan, running

pytestmark = pytest.mark.asyncio

B: dict[str, Any] = {"fallback": {"worker": "b"}}


class Noting:
    """A worker that answers with its name, and keeps how it was called."""

    def __init__(self, name: str, *, hangs: bool = False) -> None:
        self.calls: list[Context] = []
        self.inputs: list[Any] = []
        self.cancelled = asyncio.Event()

        @worker(name)
        async def answers(given: Any, ctx: Context) -> dict[str, str]:
            self.calls.append(ctx)
            self.inputs.append(given)
            if hangs:
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            return {"from": name}

        self.worker: Worker[Any] = answers


def told(row: report_pb2.BranchReport) -> list[tuple[int, str, str, bool]]:
    """Its attempts: number, worker (empty: that of the row), fault, won."""
    return [(one.number, one.worker, one.fault, one.won) for one in row.attempts]


@pytest.mark.parametrize("remote", [False, True])
async def test_where_nobody_listens_the_other_worker_answers(*, remote: bool) -> None:
    """The report has the attempts of both, with address and worker of each; the answer is merged wherever that is done."""
    b = Noting("b")
    async with running({"a": NOWHERE, "b": b.worker}, {"p": plan("a", a=B)}, remote=remote) as mesh:
        heard = await mesh.dispatch(ask(json='{"n": 1}'))
    row = heard.row("a")
    assert (heard.code, heard.response.result.json, heard.trailer("fanmesh-complete")) == (
        Code.OK, '{"a":{"from":"b"}}', "false",
    )  # fmt: skip
    assert (row.state, row.reason, row.worker) == (BranchState.FELL_BACK, BranchReason.WORKER_ERROR, "b")
    assert told(row) == [(0, "a", "worker_error", False), (1, "", "", True)]
    assert row.attempts[0].endpoint == NOWHERE.address
    assert row.endpoint == row.attempts[1].endpoint != NOWHERE.address
    assert [(one.what, one.why) for one in row.decisions] == [("fallback", "UNAVAILABLE → worker b")]
    assert heard.report.coverage.fell_back == 1
    assert heard.report.coverage.ratio == 1.0
    assert heard.report.aggregator_mode == (AggregatorMode.REMOTE if remote else AggregatorMode.EMBEDDED)
    (call,) = b.calls
    assert (call.branch, call.attempt, call.metadata["fanmesh-attempt-kind"], b.inputs) == ("a", 1, "first", [{"n": 1}])


async def test_a_slow_worker_is_cancelled_at_its_timeout_and_the_other_one_asked() -> None:
    """It sees the cancel long before the request's deadline, and is the reason of the ending."""
    a, b = Noting("a", hangs=True), Noting("b")
    plans = {"p": plan("a", a={**B, "timeout": "80ms"}, budget="10s")}
    async with running({"a": a.worker, "b": b.worker}, plans) as mesh:
        heard = await mesh.dispatch(ask())
        await asyncio.wait_for(a.cancelled.wait(), 5)
    row = heard.row("a")
    assert (row.state, row.reason, row.worker) == (BranchState.FELL_BACK, BranchReason.HARD_TIMEOUT, "b")
    assert [one.cancelled for one in row.attempts] == [True, False]
    left = a.calls[0].time_left()
    assert left is not None
    assert left < 1.0


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_write_is_not_done_twice(*, idempotent: bool) -> None:
    """One that was sent and failed has no fallback; of idempotent workers it has, under the same key."""
    seen: list[str] = []

    def writer(name: str, *, fails: bool) -> Worker[Any]:
        @worker(name)
        async def writes(ctx: Context) -> dict[str, str]:
            seen.append(ctx.idempotency_key)
            if fails:
                raise RuntimeError("after it was written")
            return {"from": name}

        made: Worker[Any] = writes
        return made

    keys = {"effect": "write", "idempotent": idempotent}
    workers = {"a": Told(writer("a", fails=True), keys), "b": Told(writer("b", fails=False), keys)}
    async with running(workers, {"p": plan("a", a=B)}) as mesh:
        heard = await mesh.dispatch(ask(failure_in_message=True))
    (row,) = heard.report.branches
    if idempotent:
        assert (row.state, len(seen), len(set(seen))) == (BranchState.FELL_BACK, 2, 1)
    else:
        assert (row.state, len(seen), row.decisions[0].why) == (BranchState.FAILED, 1, "write_sent")


async def test_a_write_to_nobody_is_done_by_the_other_worker() -> None:
    """A connection that could not be made: nobody can have seen it."""
    b = Noting("b")
    workers = {"a": Told(NOWHERE, {"effect": "write"}), "b": Told(b.worker, {"effect": "write"})}
    async with running(workers, {"p": plan("a", a=B)}, ready_within=0.05) as mesh:
        heard = await mesh.dispatch(ask())
    assert heard.row("a").state == BranchState.FELL_BACK
    assert len(b.calls) == 1


async def test_explain_shows_who_would_be_asked() -> None:
    """Between observing and the queue of the branch's own worker, as the layers stand; the deadline is the request's stop."""
    fallback = {"worker": "b", "timeout": "50ms", "min_time": "20ms", "fallback": {"use": 0}}
    b = Noting("b")
    plans = {"p": plan("a", "c", a={"timeout": "80ms", "fallback": fallback}, budget="1s", merge_reserve="100ms")}
    async with running({"a": NOWHERE, "b": b.worker, "c": b.worker}, plans) as mesh:
        answer = await mesh.explain(ask())
    assert isinstance(answer, dispatcher_pb2.ExplainResponse)
    a, c = answer.nodes
    assert a.layers[:2] == ["observe", "fallback (after 80ms or a fault: worker b at most 50ms if 20ms are left, then value)"]
    assert a.deadline.ToMilliseconds() == 900
    assert not any(layer.startswith("fallback") for layer in c.layers)


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("down", [False, True])
async def test_a_synthesis_merges_the_same_wherever_that_is_done(*, remote: bool, down: bool) -> None:
    """Its answer is the result, or, when nobody listens, the other merge of the others."""
    writer = Noting("writer")
    a, b = Noting("a"), Noting("b")
    merge = {"synthesize": {"worker": "writer", "min_time": "200ms", "otherwise": {"priority": ["b"]}}}
    workers = {"a": a.worker, "b": b.worker, "writer": NOWHERE if down else writer.worker}
    async with running(workers, {"p": plan("a", "b", merge=merge)}, remote=remote) as mesh:
        heard = await mesh.dispatch(ask())
    assert heard.response.result.json == ('{"from":"b"}' if down else '{"from":"writer"}')
    assert heard.report.aggregator_mode == (AggregatorMode.REMOTE if remote else AggregatorMode.EMBEDDED)
    assert [row.merged for row in heard.report.branches] == [False, down, not down]
    assert writer.inputs == ([] if down else [{"a": {"from": "a"}, "b": {"from": "b"}}])
