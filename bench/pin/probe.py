"""Ask one grpcio version how it cancels, fails, times out and reconnects; print the answers as JSON.

Each leak runs in a process of its own (`naive` or `owned` as first argument): in one process the second variant
would reuse the heap that the first had grown, and look clean.
"""

import asyncio
import ctypes
import gc
import json
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop
from grpc.aio._call import Call
from serving import SERVICE, Context, Handlers

Multi = Callable[..., Any]
BATCH, WARM_UP, CANCELLED = 50, 4_000, 20_000
DROPPED = 10
PATIENCE_S = 1.0
OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


def rss() -> int:
    """Return this process' resident bytes once what is free has been given back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


async def naive(hang: Multi) -> None:
    """Await the call itself, as every tutorial does."""
    await hang(b"")


async def owned(hang: Multi) -> None:
    """Await the call behind a shield; on the way out cancel the core call alone and drain it."""
    call = hang(b"")
    response = call._call_response
    try:
        await asyncio.shield(response)
    finally:
        if not response.done():
            Call.cancel(call)
            await response


class Peer:
    """The worker, over one channel."""

    def __init__(self, target: str) -> None:
        """Connect lazily to `target`."""
        channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        self.echo: Multi = channel.unary_unary(f"/{SERVICE}/echo")
        self.hang: Multi = channel.unary_unary(f"/{SERVICE}/hang")
        self.counts: Multi = channel.unary_unary(f"/{SERVICE}/counts")
        self.stream: Multi = channel.unary_stream(f"/{SERVICE}/stream")

    async def seen(self, key: str, wanted: int) -> int:
        """Return the worker's count of `key`, as soon as it is `wanted` and after PATIENCE_S at the latest."""
        until = time.perf_counter() + PATIENCE_S
        while True:
            count = int(json.loads(await self.counts(b"")).get(key, 0))
            if count >= wanted or time.perf_counter() > until:
                return count


async def cancel_many(peer: Peer, way: Callable[[Multi], Awaitable[None]], total: int) -> None:
    """Start calls in batches, let them reach the worker (an echo behind them has returned), cancel their tasks."""
    for _ in range(total // BATCH):
        tasks = [asyncio.ensure_future(way(peer.hang)) for _ in range(BATCH)]
        await peer.echo(b"")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def leak(peer: Peer, way: Callable[[Multi], Awaitable[None]]) -> dict[str, float]:
    """Return the resident bytes left behind per cancelled call, and the share of cancels the worker saw."""
    await cancel_many(peer, way, WARM_UP)
    before = rss()
    await cancel_many(peer, way, CANCELLED)
    grown = rss() - before
    started = await peer.seen("hang_started", WARM_UP + CANCELLED)
    return {"bytes_per_cancel": grown / CANCELLED, "seen": await peer.seen("hang_cancelled", started) / started}


async def dropped(peer: Peer) -> dict[str, int]:
    """Return how many of DROPPED abandoned streams, and of as many unary calls, the worker saw cancelled."""

    async def read_one() -> None:
        async for _ in peer.stream(b"x"):
            return

    for _ in range(DROPPED):
        await read_one()
        peer.hang(b"")
    await peer.echo(b"")
    gc.collect()
    streams, unary = await peer.seen("stream_cancelled", DROPPED), await peer.seen("hang_cancelled", DROPPED)
    return {"of": DROPPED, "streams": streams, "unary": unary}


async def ending(call: Awaitable[bytes]) -> dict[str, float | str]:
    """Return how a call ended and after how many milliseconds."""
    began, code, text = time.perf_counter(), "OK", ""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        code, text = error.code().name, error.details() or ""
    return {"code": code, "ms": round(1e3 * (time.perf_counter() - began), 1), "text": text}


async def dead_then_alive() -> dict[str, dict[str, float | str]]:
    """Call a port nobody listens on, twice, then start a server there and wait for the channel to find it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    peer = Peer(f"127.0.0.1:{port}")
    dead = await ending(peer.echo(b"", timeout=5, wait_for_ready=False))
    again = await ending(peer.echo(b"", timeout=5, wait_for_ready=False))

    async def echo(payload: bytes, _: Context) -> bytes:
        return payload

    server = grpc.aio.server()
    Handlers(unary={"echo": echo}).register(server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    alive = await ending(peer.echo(b"", timeout=5, wait_for_ready=True))
    await server.stop(0)
    dead["text"] = str(dead["text"]).replace(str(port), "PORT")
    return {"dead": dead, "dead_again": {**again, "text": ""}, "reconnect": alive}


async def _main(what: str, target: str) -> dict[str, Any]:
    peer = Peer(target)
    await peer.echo(b"", wait_for_ready=True, timeout=5)
    match what:
        case "naive":
            return await leak(peer, naive)
        case "owned":
            return await leak(peer, owned)
        case _:
            abandoned = await dropped(peer)
            deadline = await ending(peer.hang(b"", timeout=0.2))
            seen = await peer.seen("hang_cancelled", abandoned["unary"] + 1) - abandoned["unary"]
            return {"dropped_seen": abandoned, "deadline": {**deadline, "seen": seen}, **await dead_then_alive()}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_main(sys.argv[1], sys.argv[2]))))
