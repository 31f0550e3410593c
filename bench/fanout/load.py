"""Keep some requests in flight for some seconds. A closed loop: the question is CPU per request, not how a queue grows.

Arguments: port, plan, seconds, traced (0 or 1), requests in flight, seconds of warming up. Prints JSON:
requests, seconds, p50 and p99 in ms, failures.
"""

import asyncio
import json
import sys
import time

import grpc.aio
import uvloop

from fanmesh.v1 import dispatcher_pb2, payload_pb2

INPUT = '{"name":"Ada Lovelace","phone":"+49 30 123456","email":"ada@example.com","ip":"192.0.2.1","amount":1250.5}'


async def main() -> None:
    """Warm up, then measure."""
    port, plan, seconds, traced, in_flight = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "1", int(sys.argv[5])
    warm_up = float(sys.argv[6])
    request = dispatcher_pb2.DispatchRequest(plan=plan, input=payload_pb2.Payload(json=INPUT)).SerializeToString()
    flags = "01" if traced else "00"
    metadata = (("traceparent", f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"),)
    failures = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/fanmesh.v1.DispatcherService/Dispatch")

        async def drive(duration: float) -> list[float]:
            until = time.perf_counter() + duration
            seen: list[float] = []

            async def slot() -> None:
                nonlocal failures
                while (began := time.perf_counter()) < until:
                    try:
                        await call(request, timeout=5, metadata=metadata)
                    except grpc.aio.AioRpcError:
                        failures += 1
                    seen.append(time.perf_counter() - began)

            await asyncio.gather(*(slot() for _ in range(in_flight)))
            return sorted(seen)

        await drive(warm_up)
        print("go", flush=True)
        sys.stdin.readline()
        failures, began = 0, time.perf_counter()
        seen = await drive(seconds)
        took = time.perf_counter() - began
    figures = {
        "requests": len(seen),
        "seconds": took,
        "p50_ms": 1e3 * seen[len(seen) // 2],
        "p99_ms": 1e3 * seen[len(seen) * 99 // 100],
        "failures": failures,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
