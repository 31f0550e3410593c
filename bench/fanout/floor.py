"""The floor: `asyncio.gather` over the generated stubs in a grpc.aio servicer, as one writes it by hand.

The same request and reply types and the same work: read the JSON input, call N workers, put their answers under their names.
It has no deadline of its own, no report, no partial result: what it costs is what a fan-out in Python costs at least.
"""

import asyncio
import sys

import grpc.aio
import orjson
import uvloop

from bench.kit.stdin_closed import stdin_closed
from fanmesh.v1 import dispatcher_pb2, dispatcher_pb2_grpc, worker_pb2, worker_pb2_grpc


class Floor(dispatcher_pb2_grpc.DispatcherServiceServicer):
    """Dispatch by gather."""

    def __init__(self, stub: worker_pb2_grpc.WorkerServiceStub, branches: int) -> None:
        self.stub = stub
        self.branches = [f"b{i}" for i in range(branches)]

    async def Dispatch(  # noqa: N802  (gRPC's name)
        self,
        request: dispatcher_pb2.DispatchRequest,
        context: grpc.aio.ServicerContext,  # noqa: ARG002  (gRPC's)
    ) -> dispatcher_pb2.DispatchResponse:
        """Call every worker, merge by name."""
        orjson.loads(request.input.json)
        calls = [
            self.stub.Process(worker_pb2.ProcessRequest(branch=name, input=request.input), timeout=1.5)
            for name in self.branches
        ]
        answers = await asyncio.gather(*calls)
        merged = {name: orjson.loads(a.output.json) for name, a in zip(self.branches, answers, strict=True)}
        response = dispatcher_pb2.DispatchResponse()
        response.result.json = orjson.dumps(merged).decode()
        return response


async def main() -> None:
    """Serve on a free port until stdin closes. Arguments: the worker's port, the number of branches."""
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{sys.argv[1]}")
    server = grpc.aio.server()
    stub = worker_pb2_grpc.WorkerServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    dispatcher_pb2_grpc.add_DispatcherServiceServicer_to_server(Floor(stub, int(sys.argv[2])), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await stdin_closed()
    await server.stop(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
