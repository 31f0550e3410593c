"""The far end over the fast transport. It costs a fifth of the other, so that it is not what everybody waits for."""

from bench.fanout.worker import ANSWER
from bench.kit.fast_serving import run
from fanmesh.transport.port import Routes, ServerCall


async def process(_request: bytes, _: ServerCall) -> bytes:
    """Answer."""
    return ANSWER


if __name__ == "__main__":
    run(lambda _: Routes(unary={"/fanmesh.v1.WorkerService/Process": process}))
