"""Composition root of the aggregator: the only file that knows transport, telemetry and service together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from aggregator.settings import Settings
from aggregator.wire import AggregatorService
from fanmesh.runtime import telemetry
from fanmesh.runtime.functions import functions
from fanmesh.runtime.logs import logger
from fanmesh.transport.choosing import Transports
from fanmesh.transport.port import ServerOptions, Transport

WINDOW: Final = 64 * 1024
"""Bytes. What lies in buffers has been sent and is not acknowledged, and a dispatcher is patient for at least 100 ms: so much
is folded in that time also on a slow machine. With the library's own window a burst of parts waited for half a second."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def _nobody(_port: int) -> None:
    """Nobody waits for it."""


async def serve(settings: Settings, ready: Callable[[int], None] = _nobody, transport: Transport | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain: health says NOT_SERVING, streams that run may end, new ones are refused.

    `ready` is called with the port once calls are accepted. OSError if the address is taken, FunctionError (a ValueError) if
    a function cannot be imported, UnknownTransport (one, too) if the transport is not installed.
    """
    log, known = logger("aggregator"), functions(settings.functions)
    recorder = telemetry.start("fanmesh-aggregator", version("fanmesh"))
    service = AggregatorService(recorder, settings.limits, known)
    options = ServerOptions(reuse_port=settings.reuse_port, window=WINDOW)
    server = Transports(transport or settings.transport).default.server(settings.listen, service.routes(), options=options)
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, asked.set)
    try:
        await server.start()
        host = settings.listen.rpartition(":")[0]
        log.info("serving", listen=settings.listen if host == "unix" else f"{host}:{server.port}", port=server.port)
        ready(server.port)
        await asked.wait()
        log.info("draining", streams=service.streams, seconds=settings.drain)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        await server.stop(settings.drain)
        await loop.run_in_executor(None, recorder.close)
    log.info("stopped")
