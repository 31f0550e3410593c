"""A bench process that serves over the fast transport, until its stdin closes."""

import asyncio
from collections.abc import Callable

import uvloop

from bench.kit.stdin_closed import stdin_closed
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Routes


async def _serve(routes: Callable[[FastTransport], Routes]) -> None:
    transport = FastTransport()
    server = transport.server("127.0.0.1:0", routes(transport))
    await server.start()
    print(server.port, flush=True)
    await stdin_closed()
    await server.stop(0)


def run(routes: Callable[[FastTransport], Routes]) -> None:
    """Serve on a free port, which is printed. `routes` may connect with the transport that it is given."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(routes))
