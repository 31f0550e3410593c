"""The cost of a small thing: the best of many short batches, since everything else on the machine can only add to it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

BATCH_S = 0.002


def best(work: Callable[[], object], rounds: int = 150) -> float:
    """µs for one call of `work`."""
    work()
    began = perf_counter()
    work()
    batch = max(1, int(BATCH_S / max(perf_counter() - began, 1e-7)))
    found = float("inf")
    for _ in range(rounds):
        began = perf_counter()
        for _ in range(batch):
            work()
        found = min(found, (perf_counter() - began) / batch)
    return 1e6 * found
