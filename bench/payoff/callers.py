"""The three ways to ask: a dispatcher, the replicas themselves, and the replicas through hedge-python's interceptor."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import grpc.aio
from hedge import HedgeConfig
from hedge.interceptor import HedgedUnaryInterceptor

from fanmesh.v1 import dispatcher_pb2, payload_pb2, report_pb2, worker_pb2

TIMEOUT_S = 10.0
DISPATCH = "/fanmesh.v1.DispatcherService/Dispatch"
PROCESS = "/fanmesh.v1.WorkerService/Process"
ROUND_ROBIN = ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}))
NO_RETRIES = ("grpc.enable_retries", 0)
OWN_CONNECTIONS = ("grpc.use_local_subchannel_pool", 1)


class Answer(NamedTuple):
    """What became of a request: its code's name, and what the report says (its time in ms), if there is one."""

    code: str
    reported: float | None = None
    kinds: tuple[str, ...] = ()
    coverage: float = 0.0
    why: str = ""
    decisions: tuple[str, ...] = ()


Ask = Callable[[int], Awaitable[Answer]]


def payload(number: int, script: list[dict[str, Any]] | None = None) -> payload_pb2.Payload:
    """The input of a request: its number, and what its calls are to do if that is not drawn."""
    return payload_pb2.Payload(json=json.dumps({"n": number, **({"script": script} if script else {})}))


def read(reply: bytes) -> Answer:
    """The answer of a dispatcher, as its report tells it."""
    response = dispatcher_pb2.DispatchResponse.FromString(reply)
    report = response.report
    kinds = tuple(
        report_pb2.AttemptKind.Name(attempt.kind).removeprefix("ATTEMPT_KIND_").lower()
        for branch in report.branches
        for attempt in branch.attempts
    )
    code, took = grpc_name(response.outcome.code), report.elapsed.ToNanoseconds() / 1e6
    decisions = tuple(f"{one.what}: {one.why}" for branch in report.branches for one in branch.decisions)
    return Answer(code, took, kinds, report.coverage.ratio, response.outcome.message, decisions)


def grpc_name(code: int) -> str:
    """`UNAVAILABLE` for 14."""
    return str(next(status.name for status in grpc.StatusCode if status.value[0] == code))


def target(ports: list[int]) -> str:
    """All of them under one name, as a resolver would give them."""
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


def channel(ports: list[int], *, hedge: HedgeConfig | None = None, spread: bool = True) -> grpc.aio.Channel:
    """A channel to the replicas. `spread`: in turn, and not only the first; `hedge`: through hedge-python."""
    options = [NO_RETRIES, OWN_CONNECTIONS, *([ROUND_ROBIN] if spread else [])]
    interceptors = [HedgedUnaryInterceptor(hedge)] if hedge is not None else []
    return grpc.aio.insecure_channel(target(ports), options=options, interceptors=interceptors)


@asynccontextmanager
async def caller(kind: str, ports: list[int], rate: float, plan: str) -> AsyncIterator[Ask]:
    """`hedge-python` as its README shows it, told the true rate and given round robin, which is more than it shows."""
    hedge = HedgeConfig(estimated_rps=rate) if kind == "hedge-python" else None
    async with channel(ports, hedge=hedge) as opened:
        dispatch, process = opened.unary_unary(DISPATCH), opened.unary_unary(PROCESS)

        async def through(number: int) -> Answer:
            request = dispatcher_pb2.DispatchRequest(plan=plan, input=payload(number), failure_in_message=True)
            try:
                return read(await dispatch(request.SerializeToString(), timeout=TIMEOUT_S))
            except grpc.aio.AioRpcError as error:
                return Answer(error.code().name, why=error.details() or "")

        async def directly(number: int) -> Answer:
            request = worker_pb2.ProcessRequest(branch="b0", input=payload(number))
            try:
                await process(request.SerializeToString(), timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                return Answer(error.code().name, why=error.details() or "")
            return Answer("OK")

        yield through if kind == "dispatch" else directly
