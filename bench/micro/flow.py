"""What a branch costs in the dispatcher without the network: flow, layers, observers, fold, merge and the rows of the report.

Measured on a real loop, beside a bare gather over the same channel: the difference is what Fanmesh adds.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

import uvloop

from bench.kit.plans import WIDTHS, Bench, Instant

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


def figures() -> dict[str, dict[str, float]]:
    """µs per branch by number of branches, and the cost of a request outside its branches (by two widths)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = {branches: runner.run(both(branches)) for branches in (1, *WIDTHS)}
    narrow, wide = 1, WIDTHS[-1]
    slope = (found[wide][0] - found[narrow][0]) / (wide - narrow)
    return {
        "request without network": {str(n): found[n][0] / n for n in WIDTHS},
        "bare gather without network": {str(n): found[n][1] / n for n in WIDTHS},
        "outside branches, µs per request": {"1": found[narrow][0] - slope},
    }
