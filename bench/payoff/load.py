"""Requests at instants that do not depend on the answers, against a dispatcher or directly against the replicas.

An open loop: whoever waits for an answer before he asks again does not notice that he was made to wait. Instants and request
numbers are seeded, so every variant is asked the same at the same time; latency is from the send to the reply.

Argument: JSON with `kind` (dispatch, direct, hedge-python), `ports`, `rate` per second, `warm` and `seconds`, `seed`, `paced`
(equal distances instead of a Poisson process) and `plan`. Prints `up`, and `go` when it is warm; waits for a line with its
offset in ms, then prints what it measured as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.payoff.callers import Answer, caller

MEASURED = 1_000_000
"""Request numbers from here on are measured; those below are the warm-up."""


@dataclass(slots=True)
class Seen:
    """What came back."""

    latencies: list[float] = field(default_factory=list)
    reported: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    coverage: float = 0.0
    why: str = ""

    def take(self, took: float, answer: Answer) -> None:
        """Book one answer. Latencies are of all requests: one that failed fast is a failure, and stands beside them."""
        self.codes[answer.code] += 1
        self.kinds.update(answer.kinds)
        self.decisions.update(answer.decisions)
        self.coverage += answer.coverage
        self.why = self.why or answer.why
        self.latencies.append(round(1e3 * took, 3))
        if answer.reported is not None:
            self.reported.append(round(answer.reported, 3))


async def drive(call: Callable[[int], Awaitable[Answer]], instants: list[float], first: int) -> Seen:
    """Make the calls, each at its instant, and wait for all of them."""
    seen, began = Seen(), time.perf_counter()

    async def one(number: int) -> None:
        sent = time.perf_counter()
        answer = await call(number)
        seen.take(time.perf_counter() - sent, answer)

    async with asyncio.TaskGroup() as group:
        for number, instant in enumerate(instants, first):
            if (wait := began + instant - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(number))
    return seen


def instants(asked: dict[str, Any], seconds: float, part: str) -> list[float]:
    """When to call, in seconds from the beginning."""
    rate = asked["rate"]
    if asked.get("paced"):
        return [turn / rate for turn in range(int(rate * seconds))]
    draw = random.Random(f"{asked['seed']}/{part}")  # noqa: S311  (a bench, not a secret)
    out, at = [], 0.0
    while (at := at + draw.expovariate(rate)) < seconds:
        out.append(at)
    return out


async def main() -> None:
    """Warm up, wait to be told, measure."""
    asked = json.loads(sys.argv[1])
    print("up", flush=True)
    async with caller(asked["kind"], asked["ports"], asked["rate"], asked.get("plan", "latency")) as call:
        await drive(call, instants(asked, asked["warm"], "warm"), 0)
        print("go", flush=True)
        offset = float(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
        seen = await drive(call, [offset / 1e3 + at for at in instants(asked, asked["seconds"], "measured")], MEASURED)
    told = {
        "latencies": seen.latencies,
        "reported": seen.reported,
        "codes": seen.codes,
        "kinds": seen.kinds,
        "decisions": seen.decisions,
        "why": seen.why,
        "coverage": seen.coverage / max(1, len(seen.latencies)),
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
