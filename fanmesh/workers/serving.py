"""Workers on a port: started from a program (`serve`), or as a program (`run`)."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, Final

import uvloop

from fanmesh.transport.choosing import Transports
from fanmesh.transport.port import Server, ServerOptions, Transport
from fanmesh.workers.acting import Behaviour
from fanmesh.workers.calling import THREADS
from fanmesh.workers.declaring import Worker, check_name
from fanmesh.workers.service import Hooks, Observe, WorkerService

DRAIN: Final = 20.0
"""Seconds that running calls get after SIGTERM."""

_log: Final = logging.getLogger(__name__)


async def serve(
    *workers: Worker[Any],
    listen: str = "127.0.0.1:0",
    behaviour: Behaviour | None = None,
    observe: Observe | None = None,
    transport: Transport | str = "",
    options: ServerOptions | None = None,
) -> Server:
    """A started server with these workers; its `port` says where, `stop(grace)` ends it.

    One worker answers every call; of several, the metadata key `fanmesh-worker` names the one that is meant. Health knows
    each worker by its name. `behaviour` decides for each call how to misbehave first, `observe` wraps each call. `transport`:
    one, or its name (grpcio or fast). ValueError if two workers share a name, a name is none that a configuration can hold, or
    the transport is not installed; OSError if the address is taken.
    """
    for each in workers:
        check_name(each.name)
    hooks = Hooks(behaviour=behaviour)
    if observe is not None:
        hooks = Hooks(behaviour=behaviour, observe=observe)
    service = WorkerService(workers, hooks)
    server = Transports(transport).default.server(
        listen, service.routes(), names=[worker.name for worker in workers], options=options or ServerOptions()
    )
    await server.start()
    return server


def run(
    *workers: Worker[Any],
    listen: str = "127.0.0.1:0",
    behaviour: Behaviour | None = None,
    observe: Observe | None = None,
    ready: Callable[[int], None] | None = None,
    drain: float = DRAIN,
    transport: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT, then drain for up to `drain` seconds. `ready` is told the port; the rest as `serve`.

    A `def` worker that runs even then keeps its thread, but does not keep the program.
    """

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        server = await serve(*workers, listen=listen, behaviour=behaviour, observe=observe, transport=transport)
        if ready is not None:
            ready(server.port)
        await stopping.wait()
        await server.stop(drain)
        if stuck := THREADS.leave():
            _log.warning("ended while %d calls still ran in threads", stuck)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
