"""Some replicas of a WorkerService, each a server on a port of its own, and the books of what they saw.

One process for all replicas of a variant: on two processors sixteen of them would measure the scheduler. That a replica takes
its time is a sleep here, so replicas do not slow each other down. What was called and what was cancelled is counted here and
nowhere else: a caller only believes that it cancelled.

Arguments: the number of replicas, and a Shape as JSON. Prints the ports, then answers each line of stdin with a line:

    counts          {"calls": per replica, "cancels": per replica}
    seen N          every call of request N: [replica, ms since this process began, "running", "ok", "failed" or "cancelled"]
    set {…}         changes `factors` (times as slow, per replica) or `fail` (every call ends UNAVAILABLE); says ok
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import orjson
import uvloop

from bench.payoff.draws import Shape
from fanmesh.v1 import payload_pb2, worker_pb2

ANSWER = worker_pb2.ProcessResponse(output=payload_pb2.Payload(json='{"answered":true}')).SerializeToString()
SCRIPTED = "script"
"""A key of the input: what each call of a request does, [{"ms": 60, "fail": true}, …]; the last stands for all further."""


@dataclass(slots=True)
class Call:
    """One call as its replica saw it."""

    replica: int
    began: float
    ended: str = "running"


@dataclass(slots=True)
class Pool:
    """The replicas, and what they do from now on."""

    shape: Shape
    factors: list[float]
    fail: bool = False
    calls: list[int] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    requests: defaultdict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    scripted: defaultdict[int, list[Call]] = field(default_factory=lambda: defaultdict(list))
    epoch: float = field(default_factory=time.perf_counter)

    async def process(self, replica: int, raw: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Take the time that was drawn, then answer or fail."""
        request = worker_pb2.ProcessRequest.FromString(raw)
        asked = orjson.loads(request.input.json)
        branches = self.requests[asked["n"]]
        number = branches.get(request.branch, 0)
        branches[request.branch] = number + 1
        self.calls[replica] += 1
        call = Call(replica, time.perf_counter() - self.epoch)
        if script := asked.get(SCRIPTED):
            step = script[min(number, len(script) - 1)]
            latency, fail = step["ms"], step.get("fail", False)
            self.scripted[asked["n"]].append(call)
        else:
            latency, fail = self.shape.milliseconds(asked["n"], request.branch, number) * self.factors[replica], self.fail
        try:
            await asyncio.sleep(latency / 1e3)
        except asyncio.CancelledError:
            self.cancels[replica] += 1
            call.ended = "cancelled"
            raise
        call.ended = "failed" if fail else "ok"
        if fail:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "as asked")
        return ANSWER

    def obey(self, line: str) -> Any:
        """What is to be said to a line."""
        verb, _, rest = line.partition(" ")
        match verb:
            case "counts":
                return {"calls": self.calls, "cancels": self.cancels}
            case "seen":
                return [[call.replica, 1e3 * call.began, call.ended] for call in self.scripted[int(rest)]]
            case "set":
                told = json.loads(rest)
                self.factors, self.fail = told.get("factors", self.factors), told.get("fail", self.fail)
                return "ok"
        raise ValueError(line)


async def serve(pool: Pool, replica: int) -> tuple[grpc.aio.Server, int]:
    """One replica on a free port."""

    async def process(raw: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await pool.process(replica, raw, context)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    methods = {"Process": grpc.unary_unary_rpc_method_handler(process)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fanmesh.v1.WorkerService", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def main() -> None:
    """Serve until stdin closes."""
    count = int(sys.argv[1])
    pool = Pool(Shape(**json.loads(sys.argv[2])), [1.0] * count, calls=[0] * count, cancels=[0] * count)
    servers = [await serve(pool, replica) for replica in range(count)]
    print(json.dumps([port for _, port in servers]), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        print(json.dumps(pool.obey(line.decode().strip())), flush=True)
    await asyncio.gather(*(server.stop(0) for server, _ in servers))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
