"""A branch that is called for each item of a list, over real gRPC, and with the Aggregator as a service."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import AggregatorMode, BranchReason, BranchState
from fanmesh.payload import to_value
from fanmesh.workers import Context, Fault, Worker, worker
from tests.kit.calls import ask
from tests.kit.mesh import Told, plan, running

pytestmark = pytest.mark.asyncio

LEAVES, AT_ONCE = 200, 25
BAD = (17, 117)


class Counted:
    """Answers with the square of its item, but for some. `calls`: items and keys; `most`: calls that ran at the same time."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, str, str]] = []
        self.running = self.most = 0
        self.worker: Worker[Any]

        @worker("square")
        async def square(data: Any, ctx: Context) -> int:
            self.calls.append((data, ctx.item_key, ctx.idempotency_key))
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                for _ in range(3):
                    await asyncio.sleep(0)  # let others in, if there are any
                if data in BAD:
                    raise Fault.of(Code.NOT_FOUND, "no such")
                return int(data) ** 2
            finally:
                self.running -= 1

        self.worker = square


@pytest.mark.parametrize("remote", [False, True])
async def test_two_hundred_leaves(remote: bool) -> None:  # noqa: FBT001
    """Each is called once, so many at once, and those that fail are named; wherever it is folded."""
    counted = Counted()
    branch = {"for_each": {"items": "${input}", "max_concurrency": AT_ONCE}}
    async with running({"a": counted.worker}, {"p": plan("a", budget="30s", a=branch)}, remote=remote) as mesh:
        heard = await mesh.dispatch(ask(json=json.dumps(list(range(LEAVES))), failure_in_message=True))
    assert heard.code is Code.OK
    assert sorted(item for item, _, _ in counted.calls) == list(range(LEAVES))
    assert [key for _, key, _ in counted.calls] == [str(int(item)) for item, _, _ in counted.calls]
    assert 1 < counted.most <= AT_ONCE
    assert to_value(heard.response.result) == {"a": [n * n for n in range(LEAVES) if n not in BAD]}
    report = heard.report
    assert report.aggregator_mode == (AggregatorMode.REMOTE if remote else AggregatorMode.EMBEDDED)
    assert (report.coverage.planned, report.coverage.succeeded, report.coverage.failed) == (LEAVES, LEAVES - 2, 2)
    whole, *failed = report.branches
    assert (whole.state, whole.HasField("item"), whole.status.message) == (
        BranchState.SUCCEEDED, False, f"{LEAVES} items: {LEAVES - 2} SUCCEEDED, 2 FAILED",
    )  # fmt: skip
    assert [(row.item, row.item_key, row.state) for row in failed] == [(n, str(n), BranchState.FAILED) for n in BAD]


@pytest.mark.parametrize("remote", [False, True])
async def test_a_canary_is_all_that_a_query_of_death_meets(remote: bool) -> None:  # noqa: FBT001
    """The worker is called once for two hundred items."""
    counted = Counted()
    branch = {"for_each": {"items": "${input}", "canary": 1}}
    plans = {"p": plan("a", budget="30s", a=branch, accept={"min_success": 0})}
    async with running({"a": counted.worker}, plans, remote=remote) as mesh:
        heard = await mesh.dispatch(ask(json=json.dumps([17, *range(17), *range(18, LEAVES)]), failure_in_message=True))
    assert [item for item, _, _ in counted.calls] == [17]
    assert (heard.report.coverage.failed, heard.report.coverage.skipped) == (1, LEAVES - 1)
    assert {row.reason for row in heard.report.branches[2:]} == {BranchReason.UPSTREAM_MISSING}


async def test_each_write_of_a_list_has_a_key_of_its_own() -> None:
    """Made of the caller's own, so that a worker can tell a repetition from another item."""
    counted = Counted()
    writes = Told(counted.worker, {"effect": "write"})
    branch = {"for_each": "${input}"}
    async with running({"a": writes}, {"p": plan("a", budget="10s", a=branch)}) as mesh:
        for order in (7, 8):
            await mesh.dispatch(ask(json="[1, 2, 3]", idempotency_key=f"order-{order}"))
    keys = {(item, key) for item, _, key in counted.calls}
    assert len(counted.calls) == len(keys) == 6
    assert {key for _, key in keys} == {f"order-{order}/p/a/{item}" for order in (7, 8) for item in (1, 2, 3)}


async def test_items_show_as_they_come() -> None:
    """A stream of branch events has a row for each item's send and end, by its position."""
    counted = Counted()
    async with running({"a": counted.worker}, {"p": plan("a", budget="10s", a={"for_each": "${input}"})}) as mesh:
        heard = await mesh.stream(ask(json="[1, 2]", failure_in_message=True), emit=4)
    rows = [event.branch for event in heard.events if event.HasField("branch")]
    ended = {(row.item, row.item_key) for row in rows if row.state == BranchState.SUCCEEDED}
    assert ended == {(0, "1"), (1, "2")}
    assert [row.item_key for row in heard.report.branches] == ["1", "2"]
