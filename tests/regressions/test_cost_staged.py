"""What a branch costs that waits for others, counted: as much in a plan of fifty as in one of five."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from bench.kit.counting import entered
from bench.kit.plans import SHAPES, Bench

CALLS_PER_BRANCH = {"flat": 123, "chain": 196, "chain with min_time": 200, "diamonds": 200}
"""Without the reply's bytes; as counted on 3.11, and a twentieth more. Reading another costs an expression and two turns."""


async def calls(branches: int, shape: str) -> int:
    """Functions entered by one request, from its admission to its report."""
    return await entered(Bench(branches, shape=shape).request)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_branch_costs_the_same_in_a_wide_plan(shape: str) -> None:
    """Nothing is looked at again for each node: neither who waits, nor how much time the others need."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        one, five, ten, fifty = (runner.run(calls(branches, shape)) for branches in (1, 5, 10, 50))
    narrow, middle, wide = (five - one) / 4, (ten - one) / 9, (fifty - one) / 49
    assert wide <= 1.05 * narrow
    assert middle <= 1.05 * narrow
    assert wide <= CALLS_PER_BRANCH[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_benched_plans_run_whole(shape: str) -> None:
    """What is counted is what happens when everybody answers."""

    async def once() -> bool:
        report = (await Bench(7, shape=shape).request()).report
        return report is not None and report.complete

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(once())
