"""What a unary call costs over each transport, client and server together.

    python -m bench.transport.run [--rounds 5] [--calls 4000] [--at-once 32]

Both sides are in one process, so that its CPU time is the cost of the call and of nothing else; each round measures every
transport once, and a ratio is that of one round. Reported is the median.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import defaultdict

import uvloop

from bench.kit.results import write
from fanmesh.transport.choosing import NAMES, by_name
from fanmesh.transport.port import Channel, Routes, ServerCall, Transport

SIZES = {"100 B": 100, "10 kB": 10_000, "1 MB": 1_000_000}
METADATA = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("fanmesh-request", "r"))


async def echo(request: bytes, _: ServerCall) -> bytes:
    """The least that a handler can do."""
    return request


async def calls(channel: Channel, payload: bytes, count: int, at_once: int) -> None:
    """So many calls, of which so many run at a time."""
    left = count

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await channel.unary("/t.T/echo", payload, timeout=10, metadata=METADATA)

    await asyncio.gather(*(one() for _ in range(at_once)))


async def cost(transport: Transport, payload: bytes, count: int, at_once: int) -> float:
    """CPU microseconds of one call."""
    server = transport.server("127.0.0.1:0", Routes(unary={"/t.T/echo": echo}))
    await server.start()
    channel = transport.connect(f"127.0.0.1:{server.port}")
    await calls(channel, payload, max(count // 10, at_once), at_once)
    began = time.process_time()
    await calls(channel, payload, count, at_once)
    spent = time.process_time() - began
    await channel.close()
    await server.stop()
    return 1e6 * spent / count


def main() -> None:
    """Run, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--keep", action="store_true", help="write bench/results/transport.json")
    asked = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    print(f"{'size':>6} {'grpcio µs':>10} {'fast µs':>10} {'ratio':>6} (min–max)")
    for label, size in SIZES.items():
        count = max(20, asked.calls // (1 + size // 20_000))
        seen: dict[str, list[float]] = defaultdict(list)
        for _ in range(asked.rounds):
            for name in NAMES:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    seen[name].append(runner.run(cost(by_name(name), b"x" * size, count, asked.at_once)))
        ratios = [fast / grpcio for grpcio, fast in zip(seen["grpcio"], seen["fast"], strict=True)]
        figures[label] = {
            "grpcio_us": round(statistics.median(seen["grpcio"]), 1),
            "fast_us": round(statistics.median(seen["fast"]), 1),
            "ratio": round(statistics.median(ratios), 3),
        }
        one = figures[label]
        spread = f"({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"{label:>6} {one['grpcio_us']:10.1f} {one['fast_us']:10.1f} {one['ratio']:6.2f} {spread}", flush=True)
    if asked.keep:
        write("transport", figures)


if __name__ == "__main__":
    main()
