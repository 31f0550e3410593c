"""The Aggregator service as a process of the bench: the real one, on a free port, until stdin closes."""

import asyncio

import uvloop

from aggregator.app import serve
from aggregator.settings import Settings
from bench.kit.stdin_closed import stdin_closed
from fanmesh.runtime import heap, logs


async def main() -> None:
    """Print the port, then serve."""
    serving = asyncio.ensure_future(serve(Settings(listen="127.0.0.1:0", drain=0.0), lambda port: print(port, flush=True)))
    heap.settle()
    closed = asyncio.ensure_future(stdin_closed())
    await asyncio.wait((serving, closed), return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.wait((serving,))


if __name__ == "__main__":
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
