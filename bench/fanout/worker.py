"""The far end: a WorkerService that answers at once with a small JSON object. Its own process, so its cost is nobody else's."""

import asyncio

import grpc.aio
import uvloop

from bench.kit.stdin_closed import stdin_closed
from fanmesh.v1 import payload_pb2, worker_pb2

ANSWER = worker_pb2.ProcessResponse(
    output=payload_pb2.Payload(json='{"country":"DE","valid":true,"score":0.93,"tags":["a","b"]}'), confidence=0.9
).SerializeToString()


async def process(_request: bytes, _context: object) -> bytes:
    """Answer."""
    return ANSWER


async def main() -> None:
    """Serve on a free port until stdin closes."""
    server = grpc.aio.server()
    methods = {"Process": grpc.unary_unary_rpc_method_handler(process)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fanmesh.v1.WorkerService", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await stdin_closed()
    await server.stop(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
