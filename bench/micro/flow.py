"""What a branch costs in the dispatcher without the network: flow, layers, observers, fold, merge and the rows of the report.

Measured on a real loop, beside a bare gather over the same channel: the difference is what Fanmesh adds. A plan whose branches
read each other has to cost no more per branch the wider it is; that is counted, too, because a busy machine can hide it.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

import uvloop

from bench.kit.counting import entered
from bench.kit.plans import SHAPES, WIDTHS, Bench, Instant

ROUNDS = 40
BRANCHES_PER_ROUND = 1000


async def both(branches: int) -> tuple[float, float]:
    """µs per request: the engine, and the gather. The best of some rounds each."""
    bench, channel = Bench(branches), Instant()
    engine = gather = float("inf")
    count = BRANCHES_PER_ROUND // branches
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(count):
            await bench.request()
        engine = min(engine, (perf_counter() - began) / count)
        began = perf_counter()
        for _ in range(count):
            await asyncio.gather(*(channel.unary("", b"", timeout=None, metadata=()) for _ in range(branches)))
        gather = min(gather, (perf_counter() - began) / count)
    return 1e6 * engine, 1e6 * gather


async def staged(shape: str, branches: int) -> float:
    """µs per request of a plan of that shape. The best of some rounds."""
    bench, least = Bench(branches, shape=shape), float("inf")
    count = BRANCHES_PER_ROUND // branches
    for _ in range(ROUNDS // 2):
        began = perf_counter()
        for _ in range(count):
            await bench.request()
        least = min(least, (perf_counter() - began) / count)
    return 1e6 * least


async def counted(shape: str) -> dict[str, float]:
    """Functions entered per branch beyond the first, by number of branches."""
    found = {branches: await entered(Bench(branches, shape=shape).request) for branches in (1, *WIDTHS)}
    return {str(n): (found[n] - found[1]) / (n - 1) for n in WIDTHS}


def figures() -> dict[str, dict[str, float]]:
    """µs per branch by number of branches, and the cost of a request outside its branches (by two widths)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = {branches: runner.run(both(branches)) for branches in (1, *WIDTHS)}
        shapes = {shape: {str(n): runner.run(staged(shape, n)) / n for n in WIDTHS} for shape in SHAPES if shape != "flat"}
        counts = {shape: runner.run(counted(shape)) for shape in SHAPES}
    narrow, wide = 1, WIDTHS[-1]
    slope = (found[wide][0] - found[narrow][0]) / (wide - narrow)
    return {
        "request without network": {str(n): found[n][0] / n for n in WIDTHS},
        "bare gather without network": {str(n): found[n][1] / n for n in WIDTHS},
        "outside branches, µs per request": {"1": found[narrow][0] - slope},
        **{f"request without network, {shape}": by_width for shape, by_width in shapes.items()},
        **{f"functions per branch, {shape}": by_width for shape, by_width in counts.items()},
        **{f"functions per branch, {shape}, 50 over 5": {"1": counts[shape]["50"] / counts[shape]["5"]} for shape in SHAPES},
    }
