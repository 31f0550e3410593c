"""A dispatcher process of the bench: the real one, from a fanmesh.yaml, until stdin closes. Argument: the file."""

import asyncio
import sys

import uvloop

from bench.kit.stdin_closed import stdin_closed
from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import load_file
from dispatcher.settings import Settings
from fanmesh.runtime import heap, logs


async def main() -> None:
    """Print the port, then serve."""
    dispatcher = Dispatcher(load_file(sys.argv[1], MERGES), Settings())
    await dispatcher.start()
    heap.settle()
    print(dispatcher.port, flush=True)
    await stdin_closed()
    await dispatcher.stop()


if __name__ == "__main__":
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
