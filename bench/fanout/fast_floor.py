"""The floor again, over the fast transport: the same gather, the same messages, no engine.

What lies between it and the floor is the transport; what lies between it and `fast: no policies` is the engine.
"""

import asyncio
import sys

import orjson

from bench.kit.fast_serving import run
from fanmesh.transport.fast import FastTransport
from fanmesh.transport.port import Channel, Routes, ServerCall
from fanmesh.v1 import dispatcher_pb2, worker_pb2

PROCESS = "/fanmesh.v1.WorkerService/Process"
DISPATCH = "/fanmesh.v1.DispatcherService/Dispatch"


class Floor:
    """Dispatch by gather."""

    def __init__(self, channel: Channel, branches: int) -> None:
        self._channel = channel
        self._branches = [f"b{i}" for i in range(branches)]

    async def dispatch(self, raw: bytes, _: ServerCall) -> bytes:
        """Call every worker, merge by name."""
        request = dispatcher_pb2.DispatchRequest.FromString(raw)
        orjson.loads(request.input.json)
        calls = [
            self._channel.unary(
                PROCESS, worker_pb2.ProcessRequest(branch=name, input=request.input).SerializeToString(), timeout=1.5
            )
            for name in self._branches
        ]
        answers = [worker_pb2.ProcessResponse.FromString(reply.payload) for reply in await asyncio.gather(*calls)]
        merged = {name: orjson.loads(a.output.json) for name, a in zip(self._branches, answers, strict=True)}
        response = dispatcher_pb2.DispatchResponse()
        response.result.json = orjson.dumps(merged).decode()
        return response.SerializeToString()


def routes(transport: FastTransport) -> Routes:
    """What it serves. Arguments of the process: the worker's port, the number of branches."""
    floor = Floor(transport.connect(f"127.0.0.1:{sys.argv[1]}"), int(sys.argv[2]))
    return Routes(unary={DISPATCH: floor.dispatch})


if __name__ == "__main__":
    run(routes)
