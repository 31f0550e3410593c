"""What a call costs in the dispatcher that is made for an item of a list: 200 of them, beside a bare gather of as many calls.

In one run and in turn, over the same channel that answers from memory, so that the ratio says something on a busy machine, too.
The same is counted in functions entered, beside a plan that names as many branches.
"""

from __future__ import annotations

import asyncio
from statistics import median
from time import process_time
from typing import Final

import uvloop

from bench.kit.counting import entered
from bench.kit.plans import WIDTHS, Bench, Instant

ITEMS: Final = 200
ROUNDS: Final = 30
LISTS: Final = (*WIDTHS, ITEMS)


async def cpu(count: int) -> tuple[float, float, float]:
    """(µs of CPU per item of a list, µs per call of a gather, their ratio): medians of some rounds, in turn."""
    bench, channel = Bench(count, shape="list"), Instant()
    again = max(1, ITEMS // count)
    seen: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(again):
            await bench.request()
        between = process_time()
        for _ in range(again):
            await asyncio.gather(*(channel.unary("", b"", timeout=None, metadata=()) for _ in range(count)))
        calls = again * count
        seen.append((1e6 * (between - began) / calls, 1e6 * (process_time() - between) / calls))
    return median(one for one, _ in seen), median(two for _, two in seen), median(one / two for one, two in seen)


async def counted(shape: str, count: int) -> float:
    """Functions entered per item, or per branch, beyond the first."""
    return (await entered(Bench(count, shape=shape).request) - await entered(Bench(1, shape=shape).request)) / (count - 1)


def figures() -> dict[str, dict[str, float]]:
    """By number of items."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        spent = {count: runner.run(cpu(count)) for count in LISTS}
        items = {count: runner.run(counted("list", count)) for count in LISTS}
        branches = {count: runner.run(counted("flat", count)) for count in WIDTHS}
    return {
        "for_each without network, CPU per item": {str(n): spent[n][0] for n in WIDTHS},
        "bare gather beside it, CPU per call": {str(n): spent[n][1] for n in WIDTHS},
        "for_each over bare gather": {str(n): spent[n][2] for n in WIDTHS},
        f"for_each of {ITEMS} items, CPU per item": {"1": spent[ITEMS][0]},
        f"for_each of {ITEMS} items over bare gather": {"1": spent[ITEMS][2]},
        "functions per item of a list": {str(n): items[n] for n in WIDTHS},
        f"functions per item, {ITEMS} over 5": {"1": items[ITEMS] / items[5]},
        "functions per item over those per branch": {str(n): items[n] / branches[n] for n in WIDTHS},
    }
