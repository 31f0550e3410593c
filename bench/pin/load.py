"""Keep a fixed number of requests in flight for some seconds and print what they cost the dispatcher, as JSON.

A closed loop, not an open one: the question is CPU per request at saturation, and an arrival rate that one version
carries and the next does not would compare two different queues.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

import grpc.aio
import uvloop
from serving import SERVICE

IN_FLIGHT = 32
WARM_UP_S = 1.0
PAYLOAD = b"x" * 256


async def _drive(call: Callable[[bytes], Awaitable[bytes]], seconds: float) -> list[float]:
    """Return the latency in seconds of every request that began within `seconds`."""
    until = time.perf_counter() + seconds
    seen: list[float] = []

    async def one_slot() -> None:
        while (began := time.perf_counter()) < until:
            await call(PAYLOAD)
            seen.append(time.perf_counter() - began)

    await asyncio.gather(*(one_slot() for _ in range(IN_FLIGHT)))
    return sorted(seen)


async def _measure(target: str, seconds: float) -> dict[str, float]:
    async with grpc.aio.insecure_channel(target) as channel:
        fan: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/fan")
        usage: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/usage")
        await _drive(fan, WARM_UP_S)
        before, began = json.loads(await usage(b"")), time.perf_counter()
        seen = await _drive(fan, seconds)
        after, took = json.loads(await usage(b"")), time.perf_counter() - began
    served = after["served"] - before["served"]
    return {
        "cpu_ms": 1e3 * (after["cpu_s"] - before["cpu_s"]) / served,
        "switches": (after["switches"] - before["switches"]) / served,
        "per_s": served / took,
        "p50_ms": 1e3 * seen[len(seen) // 2],
        "p99_ms": 1e3 * seen[len(seen) * 99 // 100],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_measure(sys.argv[1], float(sys.argv[2])))))
