"""Workers in this process that behave as programs do: they never wait, exit, stop iterating, and clean up slowly."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatcher.config import ConfigErrors
from dispatcher.embedded import Branch, Fanmesh, Plan, fanout
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, EmitMode
from fanmesh.result import Accept, BranchEvent, DispatchFailed
from fanmesh.runtime.clock import sleep

pytestmark = pytest.mark.asyncio

MS = 1_000_000


async def quick(_: Any) -> dict[str, int]:
    """Answers."""
    return {"a": 1}


async def test_a_stream_that_never_waits_is_cut_at_the_deadline_and_leaves_its_siblings_a_turn() -> None:
    """Held back or not: each part asks whether it is wanted, and now and then the loop has its turn."""
    made = 0

    async def endless(_: Any) -> AsyncIterator[list[int]]:
        nonlocal made
        while True:
            made += 1
            yield [made]

    branches = {"quick": Branch(), "endless": Branch(on_stream_failure="discard")}
    async with Fanmesh(Plan("p", branches, latency="200ms"), local={"quick": quick, "endless": endless}) as mesh:
        r = await mesh.dispatch("p", {})
    assert r.report["quick"].state is BranchState.SUCCEEDED
    assert (r.report["endless"].state, r.report["endless"].reason) == (BranchState.TIMED_OUT, BranchReason.REQUEST_DEADLINE)


async def test_a_clean_up_is_not_cut_by_a_second_cancellation() -> None:
    """The verdict cancels what still runs, and not again what its own timeout has cancelled."""
    cleaned = asyncio.Event()

    async def careful(_: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await sleep(100 * MS)
            cleaned.set()

    async def slower(_: Any) -> dict[str, int]:
        await sleep(80 * MS)
        return {}

    branches = {"careful": Branch(timeout="30ms"), "slower": Branch()}
    async with Fanmesh(Plan("p", branches, latency="1s"), local={"careful": careful, "slower": slower}) as mesh:
        await mesh.dispatch("p", {})
        await asyncio.wait_for(cleaned.wait(), 5)


@pytest.mark.parametrize("why", [StopIteration, SystemExit])
async def test_what_python_cannot_carry_out_of_a_thread_is_a_failure_of_the_worker(
    why: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """A future cannot hold StopIteration, and SystemExit would end the process: both end the branch, at once."""
    caplog.set_level(logging.CRITICAL)

    def thread(_: Any) -> None:
        raise why

    branches = {"thread": Branch(), "quick": Branch()}
    async with Fanmesh(Plan("p", branches, latency="5s"), local={"thread": thread, "quick": quick}) as mesh:
        r = await mesh.dispatch("p", {})
    assert (r.report["thread"].reason, r.report["thread"].code) == (BranchReason.WORKER_ERROR, Code.INTERNAL)


async def test_a_coroutine_that_exits_ends_its_branch_and_not_the_program() -> None:
    """`sys.exit()` in somebody's library means the call, as it does in a thread."""

    async def exits(_: Any) -> None:
        sys.exit(3)

    branches = {"exits": Branch(), "quick": Branch()}
    async with Fanmesh(Plan("p", branches, latency="5s"), local={"exits": exits, "quick": quick}) as mesh:
        assert (await mesh.dispatch("p", {})).missing == ("exits",)


async def test_a_branch_that_was_only_sent_is_pending_even_if_it_has_a_default() -> None:
    """A default stands in at the end, not at the start."""
    branches = {"quick": Branch(if_missing={"use": {"x": 1}})}
    async with Fanmesh(Plan("p", branches), local={"quick": quick}) as mesh:
        events = [e async for e in mesh.stream("p", {}, emit=EmitMode.BRANCH_EVENTS)]
    assert [e.branch.state for e in events if isinstance(e, BranchEvent)] == [BranchState.PENDING, BranchState.SUCCEEDED]


async def test_a_local_worker_that_nobody_knows_is_refused_by_name() -> None:
    """A misspelt one would leave the call to the network."""
    text = 'version: 1\nworkers: {geo: {target: "h:1", effect: read}}\nplans: {p: {branches: {geo: {}}}}\n'
    with pytest.raises(ConfigErrors, match=r"'goe' is none of this configuration \(did you mean 'geo'"):
        Fanmesh.from_text(text, local={"goe": quick})


async def test_what_a_server_refuses_is_refused_here_too() -> None:
    """By name, and before anything runs."""
    async with Fanmesh(Plan("p", {"quick": Branch()}), local={"quick": quick}) as mesh:
        with pytest.raises(ValueError, match="min_coverage"):
            await mesh.dispatch("p", {}, accept=Accept(min_coverage=2.0))


async def test_a_failed_fanout_has_the_cause() -> None:
    """What the required branch raised, traceback and all."""

    async def boom() -> None:
        raise ValueError("x")

    with pytest.raises(DispatchFailed) as e:
        await fanout({"boom": boom}, required={"boom"})
    assert isinstance(e.value.__cause__, ValueError)


async def test_no_limit_and_no_number() -> None:
    """Infinity is no limit; what is no number of seconds is refused by name."""

    async def one() -> int:
        return 1

    assert (await fanout({"one": one}, timeout=float("inf"))).value == {"one": 1}
    with pytest.raises(ValueError, match="timeout: nan"):
        await fanout({"one": one}, timeout=float("nan"))
