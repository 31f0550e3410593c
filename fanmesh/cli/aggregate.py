"""`fanmesh aggregate`: the aggregator as a process of its own."""

from __future__ import annotations

import asyncio
import os

import uvloop

from aggregator.app import serve
from aggregator.settings import LISTEN, Settings
from fanmesh.cli.arguments import address, span, taken
from fanmesh.cli.ends import Exit, Output, Stop
from fanmesh.cli.say import document
from fanmesh.cli.tying import Tied, tie
from fanmesh.runtime import logs
from fanmesh.runtime.functions import FunctionError
from fanmesh.transport.choosing import UnknownTransport


def aggregate(
    *,
    listen: str = LISTEN,
    drain: str = "20s",
    function: tuple[str, ...] = (),
    transport: str = "",
    tied: Tied = False,
    output: Output = "text",
) -> int:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        listen: host:port; port 0 is any free one.
        drain: How long running requests may go on after SIGTERM.
        function: module:function that `custom` merges may call here; may be repeated.
        transport: grpcio or fast; grpcio, or as FANMESH_TRANSPORT says, if not given.
        tied: End when stdin does.
        output: Text, or one JSON document.
    """
    logs.configure()
    listen = address(listen, "--listen")
    if tied:
        tie()

    def ready(port: int) -> None:
        host = listen.rpartition(":")[0]
        address = listen if host == "unix" else f"{host}:{port}"
        if output == "json":
            document({"listen": address, "pid": os.getpid()})
        else:
            print(f"aggregator on {address}", flush=True)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            settings = Settings(listen=listen, drain=span(drain, "--drain"), functions=function, transport=transport)
            runner.run(serve(settings, ready))
    except FunctionError as error:
        raise Stop(str(error), "start where the module is, or put its directory on PYTHONPATH", Exit.USAGE) from error
    except UnknownTransport as error:
        raise Stop(str(error), "choose another --transport, or FANMESH_TRANSPORT", Exit.USAGE) from error
    except OSError as error:
        raise taken(listen, error) from error
    return Exit.OK
