"""`python -m aggregator`: the Aggregator service as a process."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import uvloop
from cyclopts import App, Parameter

from aggregator.app import serve
from aggregator.settings import LISTEN, Settings
from fanmesh.runtime import logs
from fanmesh.runtime.environ import BadVariable
from fanmesh.runtime.functions import FunctionError
from fanmesh.transport.choosing import UnknownTransport

app = App(name="aggregator", help="Merge partial results for dispatchers, one stream per request.")


@app.default
def main(
    *,
    listen: Annotated[str, Parameter(help="host:port (port 0 = a free one) or unix:path.")] = LISTEN,
    drain: Annotated[float, Parameter(help="Seconds that running streams have to end after SIGTERM.")] = 20.0,
    function: Annotated[
        tuple[str, ...], Parameter(help="module:function that `custom` merges may call here; may be repeated.", negative="")
    ] = (),
    transport: Annotated[str, Parameter(help="grpcio or fast; grpcio, or as FANMESH_TRANSPORT says, if not given.")] = "",
) -> None:
    """Run until SIGTERM."""
    try:
        logs.configure()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(Settings(listen=listen, drain=drain, functions=function, transport=transport)))
    except (BadVariable, FunctionError, UnknownTransport) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    app()
