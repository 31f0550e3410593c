"""The process under measurement: one unary method that gathers five unary calls over one channel.

This is the bare floor of a fan-out, with no policy at all, so what differs between two runs of it is grpcio alone.
It reports its own CPU (getrusage), since wall-clock on a shared machine measures the neighbours.
"""

import asyncio
import json
import resource

import grpc.aio
from serving import SERVICE, Context, Handlers, main

FAN_OUT = 5


def build(args: list[str]) -> Handlers:
    """Connect to the worker at `args[0]` and return the handlers `fan` and `usage`."""
    channel = grpc.aio.insecure_channel(args[0], options=[("grpc.enable_retries", 0)])
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/echo")
    served = 0

    async def fan(payload: bytes, _: Context) -> bytes:
        nonlocal served
        replies = await asyncio.gather(*(call(payload) for _ in range(FAN_OUT)))
        served += 1
        return b"".join(replies)

    async def usage(_: bytes, __: Context) -> bytes:
        used = resource.getrusage(resource.RUSAGE_SELF)
        switches = used.ru_nvcsw + used.ru_nivcsw
        return json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "served": served, "switches": switches}).encode()

    return Handlers(unary={"fan": fan, "usage": usage})


if __name__ == "__main__":
    main(build)
