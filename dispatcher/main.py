"""Run one dispatcher process until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from dispatcher.app import Dispatcher
from dispatcher.assembly import MERGES
from dispatcher.config import Config, ConfigErrors, load_file
from dispatcher.settings import Settings
from fanmesh.runtime import heap, logs
from fanmesh.runtime.environ import BadVariable


async def serve(config: Config, settings: Settings, ready: Callable[[Dispatcher], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `ready` is called once it accepts calls."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    dispatcher = Dispatcher(config, settings)
    try:
        await dispatcher.start()
        heap.settle()
        if ready is not None:
            ready(dispatcher)
        await stop.wait()
    finally:
        await dispatcher.stop()


def run(path: Path, settings: Settings, ready: Callable[[Dispatcher], None] | None = None) -> None:
    """Load the configuration and serve it under uvloop. Raises ConfigErrors; OSError if an address is taken."""
    import uvloop  # noqa: PLC0415  (only a served dispatcher runs on it)

    config = load_file(path, MERGES)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, settings, ready))


def main() -> None:
    """`python -m dispatcher CONFIG`."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dispatcher CONFIG   (fanmesh serve CONFIG has more options)")
    try:
        logs.configure()
        run(Path(sys.argv[1]), Settings())
    except BadVariable as wrong:
        sys.exit(str(wrong))
    except ConfigErrors as errors:
        sys.exit("\n".join(str(problem) for problem in errors.problems))
