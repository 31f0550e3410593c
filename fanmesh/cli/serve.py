"""`fanmesh serve CONFIG`: the dispatcher."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import uvloop
from cyclopts import Parameter

from dispatcher.app import Dispatcher
from dispatcher.config import Config, ConfigErrors
from dispatcher.settings import Settings
from fanmesh.cli.arguments import address
from fanmesh.cli.check import summary
from fanmesh.cli.ends import Exit, Output, Stop
from fanmesh.cli.loading import load, load_or_stop
from fanmesh.cli.say import document
from fanmesh.cli.tying import Tied, tie
from fanmesh.cli.watching import changes
from fanmesh.model.times import seconds
from fanmesh.runtime import logs
from fanmesh.runtime.logs import logger
from fanmesh.transport.choosing import UnknownTransport

MOUNTED: Final = "..data"
"""The link that Kubernetes moves when a mounted ConfigMap changes."""


def serve(
    config: Annotated[Path, Parameter(name="CONFIG")] = Path("fanmesh.yaml"),
    /,
    *,
    listen: str | None = None,
    metrics: str | None = None,
    watch: bool = True,
    tied: Tied = False,
    output: Output = "text",
) -> int:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        config: The configuration.
        listen: host:port in the place of `server.listen`; port 0 is any free one.
        metrics: host:port in the place of `server.metrics`.
        watch: Reload when the file changes.
        tied: End when stdin does.
        output: Text, or one JSON document.
    """
    logs.configure()
    settings = Settings(
        listen=None if listen is None else address(listen, "--listen"),
        metrics=None if metrics is None else address(metrics, "--metrics", unix=False),
    )
    loaded = load_or_stop(config)
    if tied:
        tie()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(loaded, config, settings, watch=watch, output=output))
    return Exit.OK


async def started(config: Config, settings: Settings) -> Dispatcher:
    """A running dispatcher. Stop if an address is taken, or a transport is not installed."""
    try:
        dispatcher = Dispatcher(config, settings)
    except UnknownTransport as error:
        raise Stop(str(error), "or set `server.transport` to grpcio", Exit.USAGE) from error
    try:
        await dispatcher.start()
    except OSError as error:
        await dispatcher.stop()
        listen = settings.listen or config.server.listen
        metrics = settings.metrics or config.server.metrics or "-"
        raise Stop(
            f"cannot listen: {error.strerror or error}",
            f"another process may have {listen} or {metrics} (metrics); end it, or change `server:` in the configuration",
        ) from error
    except asyncio.CancelledError:
        await dispatcher.stop()
        raise
    return dispatcher


async def _serve(config: Config, file: Path, settings: Settings, *, watch: bool, output: str) -> None:
    stop = asyncio.Event()
    asked = asyncio.ensure_future(stop.wait())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: _leave() if stop.is_set() else stop.set())
    starting = asyncio.ensure_future(started(config, settings))
    await asyncio.wait((asked, starting), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # it waits for workers
        starting.cancel()
        await asyncio.wait((starting,))
        return
    dispatcher = starting.result()
    log = logger("dispatcher")
    try:
        host = (settings.listen or config.server.listen).rpartition(":")[0]
        where = config.server.listen if host == "unix" else f"{host}:{dispatcher.port}"
        if output == "json":
            document({"listen": where, "metrics_port": dispatcher.metrics_port, "config": config.version, "pid": os.getpid()})
        else:
            print(f"dispatcher on {where}: {summary(config)}", flush=True)
        watching = asyncio.ensure_future(_reload(dispatcher, file)) if watch else None
        await asked
        log.info("stopping", requests=dispatcher.door.in_flight, drain=seconds(dispatcher.config.server.drain))
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        asked.cancel()
        await dispatcher.stop()
    log.info("stopped")


def _leave() -> None:
    """Whoever presses Ctrl-C a second time does not want to wait for those that are still being answered."""
    sys.stderr.write("stopped without waiting\n")
    os._exit(130)


async def _reload(dispatcher: Dispatcher, file: Path) -> None:
    log = logger("reload")
    async for _ in changes([file.parent], lambda changed: changed.name in {file.name, MOUNTED}):
        try:
            config = load(file)
        except (ConfigErrors, Stop) as error:
            log.warning("configuration not changed", why=str(error))
            continue
        if config.version != dispatcher.config.version:
            try:
                await dispatcher.reload(config)
            except UnknownTransport as error:
                log.warning("configuration not changed", why=str(error))
