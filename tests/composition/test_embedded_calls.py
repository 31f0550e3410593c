"""A call of a worker in this process: what it is told, and what of its answers is taken, as of a worker elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatcher.embedded import Branch, Fanmesh, Plan
from fanmesh.jsontext import ANSWER_DEPTH
from fanmesh.model.fault import Fault
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.workers import Context, Worker, worker

pytestmark = pytest.mark.asyncio

LISTED = """
version: 1
attributes: [tenant]
workers:
  w: {target: "h:1", effect: EFFECT, attributes: [tenant]}
plans:
  p: {budget: {latency: 5s}, branches: {each: {worker: w, for_each: "${input}"}}}
"""
SMALL = """
version: 1
server: {limits: {part: 1KiB, branch: 2KiB}}
workers:
  w: {target: "h:1", effect: read, stream: STREAM}
plans:
  p: {budget: {latency: 5s}, branches: {w: {}}, accept: {min_success: 0}}
"""


async def told(effect: str) -> Context:
    """What a worker is told of the one item of a list."""
    heard: list[Context] = []

    @worker
    async def w(_: Any, ctx: Context) -> None:
        heard.append(ctx)

    async with Fanmesh.from_text(LISTED.replace("EFFECT", effect), local={"w": w}) as mesh:
        await mesh.dispatch("p", ["x"], attributes={"tenant": "t"})
    (ctx,) = heard
    return ctx


async def test_a_local_worker_is_told_of_its_call_what_one_elsewhere_is_told() -> None:
    """Item, key of the write, attempt and attributes; the metadata says who is meant and what attempt this is."""
    ctx = await told("write")
    assert (ctx.plan, ctx.branch, ctx.attempt, ctx.shadow, ctx.attributes) == ("p", "each", 0, False, {"tenant": "t"})
    assert ctx.item_key
    assert ctx.idempotency_key == f"{ctx.request_id}/p/each/{ctx.item_key}"
    assert ctx.metadata == {"fanmesh-worker": "w", "fanmesh-attempt-kind": "first"}


async def test_who_only_reads_has_no_key_of_a_write() -> None:
    """There is nothing to tell again."""
    assert (await told("read")).idempotency_key == ""


async def test_a_further_attempt_at_a_write_has_the_key_of_the_first() -> None:
    """It says in its metadata that it is a further one."""
    heard: list[Context] = []

    @worker
    async def w(_: Any, ctx: Context) -> str:
        heard.append(ctx)
        if not ctx.attempt:
            raise Fault.unavailable("not now")
        return "written"

    text = LISTED.replace("EFFECT", "write, idempotent: true")
    async with Fanmesh.from_text(text, local={"w": w}) as mesh:
        assert (await mesh.dispatch("p", ["x"])).value == {"each": ["written"]}
    first, second = heard
    assert first.idempotency_key == second.idempotency_key != ""
    assert (second.metadata["fanmesh-attempt-kind"], second.metadata["grpc-previous-rpc-attempts"]) == ("retry", "1")


async def row_of(one: Worker[Any]) -> BranchReport:
    """What becomes of its answer where a part may have 1 KiB and a branch 2."""
    async with Fanmesh.from_text(SMALL.replace("STREAM", str(one.streams).lower()), local={"w": one}) as mesh:
        return (await mesh.dispatch("p", 1)).report["w"]


@pytest.mark.parametrize(("size", "reason"), [(2000, BranchReason.NONE), (2100, BranchReason.TOO_LARGE)])
async def test_the_answer_of_a_local_worker_is_measured(size: int, reason: BranchReason) -> None:
    """What would be refused from elsewhere is refused here."""

    @worker
    async def w(_: Any) -> str:
        return "x" * size

    assert (await row_of(w)).reason is reason


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [([900, 900], BranchReason.NONE), ([1100], BranchReason.TOO_LARGE), ([900] * 3, BranchReason.TOO_LARGE)],
)
async def test_so_are_parts_each_and_together(sizes: list[int], reason: BranchReason) -> None:
    """The limit of a part, and that of the branch."""

    @worker
    async def w(_: Any) -> AsyncIterator[str]:
        for size in sizes:
            yield "x" * size

    assert (await row_of(w)).reason is reason


def nested(levels: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_leaves_no_room_for_the_result_around_it_is_a_bad_answer(*, streams: bool) -> None:
    """Of that branch alone; the other one's is the result."""

    @worker
    async def deep(levels: int) -> Any:
        return nested(levels)

    @worker("deep")
    async def deep_part(levels: int) -> AsyncIterator[Any]:
        yield nested(levels)

    @worker
    async def fine() -> int:
        return 1

    plan = Plan("p", {"deep": Branch(), "fine": Branch()})
    async with Fanmesh(plan, local={"deep": deep_part if streams else deep, "fine": fine}) as mesh:
        taken = await mesh.dispatch("p", ANSWER_DEPTH)
        r = await mesh.dispatch("p", ANSWER_DEPTH + 1)
    assert taken.value == {"deep": nested(ANSWER_DEPTH), "fine": 1}
    assert r.value == {"fine": 1}
    assert (r.report["deep"].state, r.report["deep"].reason) == (BranchState.FAILED, BranchReason.INVALID_RESPONSE)
