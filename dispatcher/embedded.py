"""Fanmesh without a server: the same plans, the same engine, the same report, in a program's own process.

Workers may be coroutines of the program (`local=`), gRPC services, or both in one plan.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from dispatcher.assembly import MERGES, assemble, failed
from dispatcher.config import Config, load_file, load_mapping, load_text
from dispatcher.fanout import Fanned, fanout
from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Engine, Reply
from dispatcher.flow.reaper import TaskReaper
from dispatcher.model.request import Request, Tightening
from dispatcher.planning import Branch, Plan, Step, configuration
from dispatcher.policies.books import Books
from dispatcher.policies.overload import Stage, stage_of
from dispatcher.wire.endpoints import Endpoints
from dispatcher.wire.local_call import LocalEndpoint
from dispatcher.wire.observers import combine
from dispatcher.wire.spans import Spans, trace_of
from dispatcher.wire.view import View
from dispatcher.wire.watching import Nudge
from fanmesh.fitting import fitted
from fanmesh.model.delta import Told
from fanmesh.model.report import BranchReport
from fanmesh.model.states import EmitMode
from fanmesh.model.times import SECOND, nanoseconds, number, seconds
from fanmesh.payload import Box, plain
from fanmesh.result import Accept, BranchEvent, Final, Result, Snapshot, Update
from fanmesh.runtime import ambient, telemetry
from fanmesh.runtime.clock import LoopClock
from fanmesh.runtime.lag import LoopLag
from fanmesh.transport.choosing import Transports
from fanmesh.workers.declaring import Worker, worker

__all__ = ["Branch", "Fanmesh", "Fanned", "Plan", "Step", "fanout"]

T = TypeVar("T")
Local = Mapping[str, Worker[Any] | Callable[..., Any]]


class Fanmesh:
    """An engine in this process. Use it as an async context manager; it belongs to the loop that enters it.

    Leave it when its dispatches have ended: it does not wait for them, nor cancel what its callers still await.
    """

    def __init__(self, *plans: Plan, local: Local | None = None, policy: str = "standard") -> None:
        """Plans written in Python; every worker in them is one of `local`. Raises ConfigErrors with all that is wrong.

        `policy`: `none`, `standard` (a worker that raises Fault.unavailable is tried again, within a budget) or `hedged`.
        """
        self._local = _workers(local or {})
        streams = {name for name, one in self._local.items() if one.streams}
        self._setup(load_mapping(configuration(plans, self._local, streams, policy), MERGES, name="plans", local=self._local))

    @classmethod
    def from_file(cls, path: str | Path, *, local: Local | None = None) -> Self:
        """Plans from a configuration file. `local` replaces workers of it by functions. Raises ConfigErrors."""
        workers = _workers(local or {})
        return cls._of(load_file(path, MERGES, local=workers), workers)

    @classmethod
    def from_text(cls, text: str, *, local: Local | None = None) -> Self:
        """Plans from YAML text."""
        workers = _workers(local or {})
        return cls._of(load_text(text, filename="fanmesh.yaml", merges=MERGES, local=workers), workers)

    @classmethod
    def _of(cls, config: Config, local: dict[str, Worker[Any]]) -> Self:
        self = cls.__new__(cls)
        self._local = local
        self._setup(config)
        return self

    def _setup(self, config: Config) -> None:
        self.config = config
        self._engine: Engine | None = None
        self._reaper = TaskReaper()
        self.books = Books()

    async def __aenter__(self) -> Self:
        """Connect to the workers that are not local; those that do not answer yet are connected to later."""
        clock, limits = LoopClock(asyncio.get_running_loop()), self.config.server.limits
        self._recorder = telemetry.start("fanmesh")
        self._lag = LoopLag(clock.now)
        drain = self.config.server.drain
        self._endpoints = Endpoints(
            Transports(self.config.server.transport),
            clock,
            limits,
            drain=lambda: drain,
            dropped=self.books.drop,
        )
        for name, function in self._local.items():
            self._endpoints.add_local(name, LocalEndpoint(function, clock, limits))
        await self._endpoints.open(self.config.catalogue.workers.values())
        self._engine = assemble(
            clock=clock,
            endpoints=self._endpoints.by,
            observer=combine(Spans(self._recorder, clock.now), Nudge(self._endpoints.nudge)),
            reaper=self._reaper,
            books=self.books,
            stage=self._stage,
        )
        if any(worker.policy.hedge is not None for worker in self.config.catalogue.workers.values()):
            self._lag.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let cancelled branches end, and writes that have been sent; then close what was opened."""
        self._engine = None
        self._lag.stop()
        await self._reaper.drain(1.0, seconds(self.config.server.drain))
        await self._endpoints.aclose()
        await asyncio.get_running_loop().run_in_executor(None, self._recorder.close)

    async def dispatch(
        self,
        plan: str = "",
        input: Any = None,  # noqa: A002  (the protocol's word)
        *,
        returns: type[T] | Any = Any,
        timeout: float | None = None,  # noqa: ASYNC109  (the request's deadline: it is divided among branches)
        attributes: Mapping[str, str] | None = None,
        accept: Accept | None = None,
    ) -> Result[T]:
        """Run a plan. `timeout` in seconds. Raises DispatchFailed, with the report, if the plan does not accept the outcome."""
        engine = self._running()
        request = self._request(engine, plan, input, timeout, attributes, accept)
        return _result(await dispatch(engine, self.config.catalogue, request), returns)

    async def stream(
        self,
        plan: str = "",
        input: Any = None,  # noqa: A002
        *,
        returns: type[T] | Any = Any,
        emit: EmitMode = EmitMode.SNAPSHOT,
        min_interval: float = 0.0,
        timeout: float | None = None,  # noqa: ASYNC109
        attributes: Mapping[str, str] | None = None,
        accept: Accept | None = None,
    ) -> AsyncIterator[Update[T]]:
        """Run a plan and yield snapshots or branch events, and the reply as the last event. Closing it cancels the request.

        With EmitMode.DELTA snapshots say what makes them out of the ones before: `ops`.
        """
        engine = self._running()
        request = self._request(engine, plan, input, timeout, attributes, accept)
        interval = round(number("min_interval", min_interval) * SECOND)
        view = View(emit, interval, engine.clock)
        request.emit, request.min_interval = view.wants, interval
        told = Told() if emit is EmitMode.DELTA else None
        running = asyncio.ensure_future(dispatch(engine, self.config.catalogue, request, view))
        try:
            async for seen, coverage in view.until(running):
                if isinstance(seen, BranchReport):
                    yield BranchEvent(seen, coverage)
                elif told is None:
                    yield Snapshot(seen, coverage)
                elif (ops := told.news(seen, coverage)) is not None:
                    told.heard(seen, coverage)
                    yield Snapshot(seen, coverage, ops)
            yield Final(_result(await running, returns))
        finally:
            if not running.done():
                running.cancel()
                self._reaper.adopt([running])

    def _stage(self) -> Stage:
        """A late loop makes no copies of calls. More is not given up: what this program does with its loop is its affair."""
        return min(stage_of(self.config.server.overload, self._lag.recent, 0), Stage.NO_HEDGES)

    def _running(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("enter it first: `async with Fanmesh(…) as mesh`")
        return self._engine

    def _request(
        self,
        engine: Engine,
        plan: str,
        data: Any,
        timeout: float | None,
        attributes: Mapping[str, str] | None,
        accept: Accept | None,
    ) -> Request:
        declared = self.config.catalogue.attributes
        if unknown := set(attributes or {}) - set(declared):
            raise ValueError(
                f"attributes: {', '.join(sorted(unknown))} not declared; declared: {', '.join(declared) or 'none'}"
            )
        floor = accept or Accept()
        if not 0.0 <= (floor.min_coverage or 0.0) <= 1.0 or (floor.min_success or 0) < 0:
            raise ValueError(f"accept: min_coverage is in [0, 1] and min_success ≥ 0, not {floor}")
        return Request(
            id=uuid.uuid4().hex,
            plan=plan,
            input=Box.of(plain(data)),
            arrived=engine.clock.now(),
            attributes=dict(attributes or {}),
            remaining=nanoseconds("timeout", timeout),
            tightening=Tightening(None, floor.min_success or 0, floor.min_coverage or 0.0, frozenset(floor.required)),
            trace=trace_of(ambient.headers().items(), self._recorder),
        )


def _result(reply: Reply, returns: Any) -> Result[Any]:
    if reply.refusal is not None:
        raise failed(reply.refusal, reply.report)
    if reply.report is None:
        raise AssertionError("a reply without a refusal has a report")
    return fitted(reply.value, reply.report, returns)


def _workers(local: Local) -> dict[str, Worker[Any]]:
    return {name: one if isinstance(one, Worker) else worker(name)(one) for name, one in local.items()}
