"""Whom defects.py asks: hedge-python's own client, and a dispatcher, each over scripted replicas of its own."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
from hedge import HedgeConfig

from bench.kit.processes import Process
from bench.payoff import configs
from bench.payoff.callers import DISPATCH, PROCESS, TIMEOUT_S, channel, payload, read
from bench.payoff.draws import Shape
from bench.payoff.measuring import REPLICAS, ask
from fanmesh.v1 import dispatcher_pb2, worker_pb2

Script = list[dict[str, Any]]
"""What each call of a request does; the last one stands for all further ones."""

REST_S = 0.5
"""After a warm-up: it spends allowances for hedges, and is not what is asked about."""


class Seen(NamedTuple):
    """A call as its replica saw it: `began` in ms, `ended` running, ok, failed or cancelled."""

    replica: int
    began: float
    ended: str


@dataclass(slots=True)
class Subject:
    """Somebody who can be asked; `cap` is the share of hedges that it promises not to exceed."""

    begin: Callable[[int, Script], grpc.aio.UnaryUnaryCall]
    through: bool
    pool: Process
    cap: float
    requests: int = 0

    def start(self, script: Script) -> tuple[int, grpc.aio.UnaryUnaryCall]:
        """Make a request; returns its number as well."""
        self.requests += 1
        return self.requests, self.begin(self.requests, script)

    async def outcome(self, script: Script) -> tuple[int, str]:
        """The number of a request, and the name of the code it ended with."""
        number, call = self.start(script)
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            return number, error.code().name
        return number, read(reply).code if self.through else "OK"

    async def warm(self, count: int) -> None:
        """That many fast requests, one after the other, so that it knows what is usual."""
        for turn in range(count):
            await self.outcome([{"ms": 3 + turn % 10}])
        await asyncio.sleep(REST_S)

    def seen(self, number: int) -> list[Seen]:
        """The calls of a request."""
        return [Seen(*one) for one in ask(self.pool, f"seen {number}")]

    def extra(self) -> int:
        """All calls so far beyond one a request."""
        calls: list[int] = ask(self.pool, "counts")["calls"]
        return sum(calls) - self.requests


def _pool() -> Process:
    return Process("bench.payoff.worker", REPLICAS, json.dumps(asdict(Shape("defects"))))


@asynccontextmanager
async def rival(*, spread: bool = False) -> AsyncIterator[Subject]:
    """hedge-python on a channel as its README makes one; `spread` adds round robin, which it does not show."""
    with _pool() as pool:
        config = HedgeConfig()
        async with channel(json.loads(pool.said), hedge=config, spread=spread) as opened:
            process = opened.unary_unary(PROCESS)

            def begin(number: int, script: Script) -> grpc.aio.UnaryUnaryCall:
                request = worker_pb2.ProcessRequest(branch="b0", input=payload(number, script))
                return process(request.SerializeToString(), timeout=TIMEOUT_S)

            yield Subject(begin, through=False, pool=pool, cap=config.budget_percent / 100)


@asynccontextmanager
async def ours(policy: str) -> AsyncIterator[Subject]:
    """A dispatcher under that policy."""
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(_pool())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = configs.write(folder, policy, json.loads(pool.said))
        dispatcher = stack.enter_context(Process("bench.payoff.dispatcher", file))
        opened = await stack.enter_async_context(channel([int(dispatcher.said)]))
        dispatch = opened.unary_unary(DISPATCH)

        def begin(number: int, script: Script) -> grpc.aio.UnaryUnaryCall:
            asked = dispatcher_pb2.DispatchRequest(plan="latency", input=payload(number, script), failure_in_message=True)
            return dispatch(asked.SerializeToString(), timeout=TIMEOUT_S)

        own = configs.POLICIES[policy] or {}
        yield Subject(begin, through=True, pool=pool, cap=own["hedge"]["max_extra_load"])


async def until(done: Callable[[], bool], within_s: float = 1.0) -> float:
    """Look again and again; the ms after which it was so, or the whole time."""
    began = asyncio.get_running_loop().time()
    while not done() and asyncio.get_running_loop().time() < began + within_s:  # noqa: ASYNC110  (it happens elsewhere)
        await asyncio.sleep(0.01)
    return 1e3 * (asyncio.get_running_loop().time() - began)
