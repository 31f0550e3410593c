"""What a request costs, counted and not timed: the same on every machine, however busy it is."""

import asyncio
import gc
import sys
from types import FrameType
from typing import Any

import pytest
import uvloop

from bench.kit.plans import Bench
from dispatcher.flow.ports import Reply
from dispatcher.wire.outbound import response_of
from fanmesh.payload import Kind

NARROW, WIDE = 10, 50

CALLS_PER_BRANCH = {"none": 134, "standard": 166}
CALLS_PER_REQUEST = 158
"""Python functions entered, the loop's and the weak set's of asyncio among them: as counted on 3.11 (where each
resumed coroutine counts, too), and a twentieth more."""


def answered(reply: Reply) -> None:
    response, refusal = response_of(reply, Kind.JSON, 2**22)
    assert refusal is None
    assert response.report.complete
    response.SerializeToString()


async def calls(branches: int, policy: str) -> int:
    """Python functions entered by one request, from the parsed message to the bytes of the reply."""
    bench, entered = Bench(branches, policy, endpoints=3 if policy == "standard" else 1), 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal entered
        entered += event == "call"

    for _ in range(3):  # caches
        answered(await bench.request())
    sys.setprofile(count)
    try:
        answered(await bench.request())
    finally:
        sys.setprofile(None)
    return entered


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@pytest.mark.parametrize("policy", CALLS_PER_BRANCH)
def test_a_branch_and_a_request_enter_no_more_functions_than_they_did(policy: str) -> None:
    """What is added to the path of every branch is added knowingly: by raising a number here."""
    narrow, wide = run(calls(NARROW, policy)), run(calls(WIDE, policy))
    per_branch = (wide - narrow) / (WIDE - NARROW)
    assert per_branch <= CALLS_PER_BRANCH[policy]
    assert narrow - NARROW * per_branch <= CALLS_PER_REQUEST


async def garbage(branches: int, policy: str) -> int:
    """Objects that one request leaves to the garbage collector."""
    bench = Bench(branches, policy, endpoints=3)
    answered(await bench.request())
    await asyncio.sleep(0)  # the last callbacks of its tasks
    gc.collect()
    gc.disable()
    try:
        answered(await bench.request())
        await asyncio.sleep(0)
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("policy", CALLS_PER_BRANCH)
def test_a_request_that_everyone_answered_leaves_nothing_to_the_garbage_collector(policy: str) -> None:
    """It dies by reference counting: finding it as one large cycle took a twentieth of the dispatcher's CPU."""
    assert run(garbage(WIDE, policy)) == 0
