"""The far end over the fast transport. It costs a fifth of the other, so that it is not what everybody waits for."""

import asyncio

import uvloop

from bench.fanout.worker import ANSWER
from bench.kit.stdin_closed import stdin_closed
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Routes, ServerCall


async def process(_request: bytes, _: ServerCall) -> bytes:
    """Answer."""
    return ANSWER


async def main() -> None:
    """Serve on a free port until stdin closes."""
    server = FastTransport().server("127.0.0.1:0", Routes(unary={"/fanmesh.v1.WorkerService/Process": process}))
    await server.start()
    print(server.port, flush=True)
    await stdin_closed()
    await server.stop(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
