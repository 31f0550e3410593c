"""Everything that runs while the claims are shown: a collector, the workers, an aggregator, a dispatcher for each way to merge.

One world for all claims, since to start it takes longer than to show them. Claims leave it as they found it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeAlias

from fanmesh.client import AsyncClient
from fanmesh.model.report import Report
from fanmesh.model.states import EmitMode
from fanmesh.result import BranchEvent, DispatchFailed, Result
from fanmesh.result import Final as Last
from fanmesh.runtime.clock import now_ns
from sample_workers.demo import cast, plans
from sample_workers.demo.collector import Collector, Span, Trace
from sample_workers.demo.gathering import warm
from sample_workers.demo.processes import FANMESH, Process
from sample_workers.enrichment import records

Act: TypeAlias = Callable[[BranchEvent], Awaitable[None]]

CONTACT: Final = "c01"
"""The contact of most claims: sound, with every field, so that all seven branches run and agree."""
WARM_WITHIN: Final = 30.0
"""Seconds for the first answer of each worker, which reads its tables."""


class Answer(NamedTuple):
    """One dispatched request as its caller saw it. `status` is empty if there is a `value`; `sent` and `took` in ns."""

    value: Any
    report: Report
    status: str
    sent: int
    took: int


class World:
    """`async with World(…) as world:` has everything running and warm; nothing is left after it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.seed = seed
        self.contacts: Mapping[str, Any] = records.by_id()
        self.collector = Collector()
        self.processes: dict[str, Process] = {}
        self.addresses: dict[str, list[str]] = {}
        self.reference: Any = None
        """What `enrich_contact` answers for CONTACT when nothing goes wrong."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self._stack.push_async_callback(self.collector.stop)
        await self.collector.start()
        self._stack.push_async_callback(self._stop_processes)
        workers = {
            **{name: cast.healthy(name) for name in cast.HEALTHY},
            **{name: cast.ill(name, self.seed) for name in cast.ILL},
            **{name: cast.replica(name, self.seed) for name in cast.REPLICAS},
        }
        workers |= {name: cast.searching(name, self.seed) for name in cast.SEARCHING}
        stranger = self.start(cast.STRANGER, ["127.0.0.1:0"], cast.STRANGE)
        await together(stranger, self._start_all({**workers, "aggregator": ["aggregate", "--listen", "127.0.0.1:0"]}))
        for process, names in {**cast.HEALTHY, **cast.ILL}.items():
            for name in names:
                self.addresses.setdefault(name, []).append(self.processes[process].address)
        for name in cast.REPLICATED:
            self.addresses[name] = [self.processes[process].address for process in cast.replicated(name)]
        for name in (*cast.SEARCHING, cast.STRANGER):
            self.addresses[name] = [self.processes[name].address]
        modes = {"dispatcher": "embedded", "dispatcher_2": self.processes["aggregator"].address}
        await together(self._warm_workers(), self._start_all({name: self._serve(name, mode) for name, mode in modes.items()}))
        self.embedded = await self._stack.enter_async_context(AsyncClient(self.processes["dispatcher"].address))
        self.remote = await self._stack.enter_async_context(AsyncClient(self.processes["dispatcher_2"].address))
        await self._warm_dispatchers()

    def _serve(self, name: str, aggregator: str) -> list[str]:
        file = self.directory / f"{name}.yaml"
        file.write_text(plans.configuration(self.addresses, aggregator), "utf-8")
        return ["serve", str(file), "--listen", "127.0.0.1:0", "--no-watch"]

    async def _start_all(self, lines: Mapping[str, list[str]]) -> None:
        await together(*(self.start(label, line) for label, line in lines.items()))

    async def start(self, label: str, line: list[str], module: str = FANMESH) -> None:
        """Start one process; it takes the place of an earlier one of that label."""
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.endpoint,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": self.collector.endpoint,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",  # the collector that is played here takes traces only
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_SDK_DISABLED": "false",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "FANMESH_LOG_LEVEL": "info",
            "FANMESH_LOG_FORMAT": "json",
            "no_grpc_proxy": "127.0.0.1",
        }
        self.processes[label] = process = Process(label, line, self.directory, variables, module)
        await process.start()

    async def restart(self, label: str, line: Sequence[str] = ()) -> None:
        """A new process on the port of the old one, which may be dead. `line`: if it is not to be the same again."""
        old = self.processes[label]
        await old.stop()
        where = [old.address if word == "127.0.0.1:0" else word for word in line or old.arguments]
        await self.start(label, where, old.module)

    async def _stop_processes(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.processes.values()))

    async def _warm_workers(self) -> None:
        unable = {cast.HANGING, cast.LYING, cast.DOOMED, *cast.REPLICATED} - {cast.ROLLING}
        able = [name for name in self.addresses if name not in {*unable, *cast.SEARCHING, cast.STRANGER}]
        places = [(name, address) for name in able for address in self.addresses[name]]
        await warm(places, self.contacts[CONTACT], WARM_WITHIN)

    async def _warm_dispatchers(self) -> None:
        rounds = [(client, plan) for client in (self.embedded, self.remote) for plan in (plans.BASE, plans.BASE, plans.PACED)]
        answers = await asyncio.gather(
            *(self.call(client, plan) for client, plan in rounds),
            *(self.call(self.embedded, plan, {"q": "warm"}) for plan in (plans.WIDENED, plans.SHARDED)),
        )
        self.reference = answers[0].value

    async def call(
        self,
        client: AsyncClient,
        plan: str,
        asked: str | Mapping[str, Any] = CONTACT,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  (gRPC's deadline: it travels)
        metadata: Mapping[str, str] | None = None,
    ) -> Answer:
        """Dispatch a contact, by its id, or whatever else is asked. DispatchFailed only if there is no report either."""
        began = now_ns()
        data = self.contacts[asked] if isinstance(asked, str) else asked
        try:
            result: Result[Any] = await client.dispatch(plan, data, timeout=timeout, full_report=True, metadata=metadata)
        except DispatchFailed as failed:
            return _failed(failed, began)
        return Answer(result.value, result.report, "", began, now_ns() - began)

    async def follow(self, client: AsyncClient, plan: str, act: Act, asked: Mapping[str, Any] | None = None) -> Answer:
        """Dispatch CONTACT, or what is asked, and tell `act` of every branch that changes, while the request runs."""
        began = now_ns()
        try:
            async for update in client.stream(plan, asked or self.contacts[CONTACT], emit=EmitMode.BRANCH_EVENTS):
                match update:
                    case BranchEvent():
                        await act(update)
                    case Last(result):
                        return Answer(result.value, result.report, "", began, now_ns() - began)
        except DispatchFailed as failed:
            return _failed(failed, began)
        raise AssertionError("a stream ends with its result or DispatchFailed")

    async def worker_spans(self, report: Report, branches: set[str]) -> dict[str, Span]:
        """What the workers of these branches recorded of the request, by branch; those of killed processes never come."""

        def found(spans: Trace) -> dict[str, Span]:
            return {span.branch: span for span in spans if span.kind == "SERVER" and span.branch in branches}

        return found(await self.collector.trace(report.trace_id, lambda spans: found(spans).keys() >= branches))


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all; the first that fails ends the others before its error goes on, so that nothing starts while all is stopped."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _failed(failed: DispatchFailed, began: int) -> Answer:
    if failed.report is None:
        raise failed
    return Answer(None, failed.report, f"{failed.code.name} {failed.reason}".strip(), began, now_ns() - began)
