"""The engine of a dispatcher process with everything on but the network: the channel answers at once, from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from dispatcher.assembly import MERGES, assemble
from dispatcher.config import Config, load_mapping
from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Engine, Reply
from dispatcher.flow.reaper import TaskReaper
from dispatcher.model.limits import Limits
from dispatcher.model.request import Request, Trace
from dispatcher.wire.journal import Journal
from dispatcher.wire.measures import Measures
from dispatcher.wire.observers import combine
from dispatcher.wire.spans import Spans
from dispatcher.wire.worker_call import GrpcEndpoint
from fanmesh.payload import Box
from fanmesh.runtime.clock import LoopClock
from fanmesh.runtime.logs import logger
from fanmesh.runtime.tracing import OFF
from fanmesh.transport import port
from fanmesh.v1 import payload_pb2, worker_pb2

WIDTHS: Final = (5, 10, 50)
UNSAMPLED: Final = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
INPUT: Final = '{"name":"Ada Lovelace","phone":"+49 30 123456","email":"ada@example.com","ip":"192.0.2.1","amount":1250.5}'
ANSWER: Final = worker_pb2.ProcessResponse(
    output=payload_pb2.Payload(json='{"country":"DE","valid":true,"score":0.93,"tags":["a","b"]}'), confidence=0.9
).SerializeToString()


class Instant:
    """A channel whose peer answers in the next turn of the loop."""

    def __init__(self, port: int = 1) -> None:
        self.address = f"127.0.0.1:{port}"

    def ready(self) -> bool:
        """Always."""
        return True

    async def unary(self, _path: str, _request: bytes, *, timeout: float | None, metadata: port.Metadata) -> port.Reply:  # noqa: ASYNC109, ARG002  (the port's)
        """Answer."""
        await asyncio.sleep(0)
        return port.Reply(ANSWER, ())


EVERYTHING: Final = {"in_flight": 4096, "endpoint_in_flight": 4096, "rate": {"per_second": 1_000_000, "burst": 100_000}}
"""Limits that are asked and never reached."""


def _chained(number: int) -> dict[str, Any]:
    """Each branch is fed by the one before."""
    return {"input": {"country": f"${{branches.b{number - 1}.output.country}}"}} if number else {}


def _patient(number: int) -> dict[str, Any]:
    """And has a `min_time` that all before it leave it."""
    return {**_chained(number), "min_time": "5ms"}


def _diamonds(number: int) -> dict[str, Any]:
    """One feeds two, those feed one, and so on: 0 → 1, 2 → 3 → 4, 5 → 6."""
    fed = [] if not number else [number - 2, number - 1] if number % 3 == 0 else [(number - 1) // 3 * 3]
    return {"input": {f"b{other}": f"${{branches.b{other}.output.country}}" for other in fed}} if fed else {}


SHAPES: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "flat": lambda _: {},
    "chain": _chained,
    "chain with min_time": _patient,
    "diamonds": _diamonds,
}
"""What the n-th branch reads of those before it."""


def config(branches: int, policy: str = "none", *, limits: bool = False, shape: str = "flat") -> Config:
    """A plan `bench` of that many branches of one worker with that policy; `list`: of one that is called for as many items."""
    if shape == "list":
        named: dict[str, Any] = {"b": {"worker": "far", "for_each": {"items": list(range(branches))}}}
    else:
        named = {f"b{number}": {"worker": "far", **SHAPES[shape](number)} for number in range(branches)}
    plan = {"budget": {"latency": "1500ms"}, "branches": named}
    worker = {"target": "127.0.0.1:1", "effect": "read", "policy": policy}
    workers = {"far": {**worker, "limit": EVERYTHING} if limits else worker}
    return load_mapping({"version": 1, "workers": workers, "plans": {"bench": plan}}, MERGES)


class Bench:
    """An engine and a request to give it, again and again. To be made while the loop runs."""

    def __init__(
        self, branches: int, policy: str = "none", *, endpoints: int = 1, limits: bool = False, shape: str = "flat"
    ) -> None:
        self._clock = LoopClock(asyncio.get_running_loop())
        there = tuple(
            GrpcEndpoint(Instant(1 + i), self._clock, Limits())  # type: ignore[arg-type]  # as much of a channel as is called
            for i in range(endpoints)
        )
        measures = Measures(lambda: 0, lambda: "v")
        self.engine: Engine = assemble(
            clock=self._clock,
            endpoints=lambda _worker: there,
            observer=combine(measures, Spans(OFF, self._clock.now), Journal(logger("bench"))),
            reaper=TaskReaper(),
        )
        self._catalogue = config(branches, policy, limits=limits, shape=shape).catalogue
        self._input = payload_pb2.Payload(json=INPUT)

    async def request(self) -> Reply:
        """One request, from the parsed message to the reply."""
        asked = Request("0123", "bench", Box(self._input), self._clock.now(), trace=UNSAMPLED)
        return await dispatch(self.engine, self._catalogue, asked)
