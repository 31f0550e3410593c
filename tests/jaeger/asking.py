"""The demo's world with its spans sent to Jaeger, one request of it for each thing that a trace must show, and what came back.

The requests are the demo's own plans over its own processes. One plan is new, because what an operator meets is not one trouble
at a time: in it every branch of the enrichment has another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from ruamel.yaml import YAML

from fanmesh.client import AsyncClient
from fanmesh.model.report import Report
from fanmesh.model.states import BranchReason
from sample_workers.demo import cast, plans
from sample_workers.demo.collector import Collector
from sample_workers.demo.load import unrecorded
from sample_workers.demo.world import CONTACT, World
from tests.jaeger.stumbling import STUMBLE

CLIENT: Final = "demo"
MESH: Final = "contact_mesh"
LEARNS: Final = "contact_learns"
RACES: Final = "contact_first"
OVERDUE: Final = "contact_ip_overdue"
PLAIN: Final = "c19"
"""A contact without a tax number and an amount: two conditions do not hold."""

SILENT, FAILING = "silent_tax_id", "failing_email"
STUMBLING: Final = ("stumbling_1", "stumbling_2")
SAMPLES: Final = 60
"""Calls after which it is known how long silent_tax_id usually takes: its policy hedges nothing before 50."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its report, which is held against its trace. `remote`: the aggregator is a process of its own."""

    name: str
    report: Report
    remote: bool
    trace_id: str
    headers: dict[str, str]


@dataclass(slots=True)
class Asker:
    """Asks, and remembers."""

    world: Traced
    asked: dict[str, Asked] = field(default_factory=dict)

    async def ask(self, name: str, plan: str, contact: str = CONTACT, *, remote: bool = True, sampled: bool = True) -> Report:
        """One request under a span of the caller's own, which a caller that does not sample does not record."""
        client = self.world.remote if remote else self.world.embedded
        if sampled:
            with self.world.collector.client_span("fanmesh.v1.DispatcherService/Dispatch") as headers:
                answer = await self.world.call(client, plan, contact, metadata=headers)
        else:
            headers = unrecorded()
            answer = await self.world.call(client, plan, contact, metadata=headers)
        self.asked[name] = Asked(name, answer.report, remote, headers["traceparent"][3:35], headers)
        return answer.report


class Elsewhere(Collector):
    """Stands where the demo's own collector does: says where Jaeger is, and traces the client with the SDK."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._jaeger = endpoint
        self._provider = TracerProvider(ALWAYS_ON, Resource({"service.name": CLIENT}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=True)))
        self._tracer = self._provider.get_tracer("test")

    @property
    def endpoint(self) -> str:
        """Where Jaeger listens."""
        return self._jaeger

    async def start(self) -> None:
        """Jaeger runs already."""

    async def stop(self) -> None:
        """Hand on what is left."""
        await asyncio.to_thread(self._provider.shutdown)

    @contextmanager
    def client_span(self, name: str) -> Iterator[dict[str, str]]:
        """As any program that traces would make it."""
        span = self._tracer.start_span(name, Context(), SpanKind.CLIENT)
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, set_span_in_context(span, Context()))
        yield headers
        span.end()


class Traced(World):
    """The demo's world, two processes of stumbling workers, and plans that use them."""

    def __init__(self, directory: Path, seed: int, endpoint: str) -> None:
        super().__init__(directory, seed)
        self.collector = Elsewhere(endpoint)
        self.contacts = {**self.contacts, STUMBLE: {**self.contacts[CONTACT], STUMBLE: True}}

    async def _start(self) -> None:
        self._stack.push_async_callback(self._stop_processes)
        here = "tests.jaeger.stumbling"
        line = ["worker", f"{SILENT}={here}:silent_first", f"{FAILING}={here}:failing_first", "--listen", "127.0.0.1:0"]
        await self._start_all(dict.fromkeys(STUMBLING, line))
        for name in (SILENT, FAILING):
            self.addresses[name] = [self.processes[label].address for label in STUMBLING]
        await super()._start()

    def _serve(self, name: str, mode: str) -> list[str]:
        line = super()._serve(name, mode)
        file = self.directory / f"{name}.yaml"
        yaml = YAML()
        document: Any = yaml.load(file.read_text("utf-8"))
        document["workers"][SILENT]["policy"] = plans.POLICY[cast.HEDGED]
        for plan, branches in (document["plans"] | _plans(document["plans"])).items():
            document["plans"][plan] = branches
        text = StringIO()
        yaml.dump(document, text)
        file.write_text(text.getvalue(), "utf-8")
        return line


def _plans(known: Any) -> dict[str, Any]:
    troubles = {"tax_id": SILENT, "email": FAILING, "ip": cast.HANGING, "holiday": cast.BROKEN, "rates": cast.LYING}
    return {
        MESH: plans.variant(known[plans.BASE], troubles),
        LEARNS: plans.variant({"branches": {"tax_id": {}}}, {"tax_id": SILENT}),
        RACES: plans.variant(known["signal"], cast.SLOW),
        OVERDUE: {"branches": {"phone": {}, "ip": {"worker": cast.HANGING, "timeout": "150ms"}}},
    }


async def everything(directory: Path, endpoint: str) -> dict[str, Asked]:
    """Start the demo's processes, send the requests, and end the processes, which then hand on their last spans."""
    async with Traced(directory, 7, endpoint) as world:
        asker = Asker(world)
        await asker.ask("whole", plans.BASE)
        await asker.ask("whole, embedded", plans.BASE, remote=False)
        await asker.ask("two conditions", plans.BASE, PLAIN)
        await asker.ask("not sampled", plans.BASE, sampled=False)
        await asker.ask("soft timeout", plans.HANGS)
        await asker.ask("soft timeout, embedded", plans.HANGS, remote=False)
        await asker.ask("hard timeout", OVERDUE)
        await asker.ask("first wins", RACES)
        await asker.ask("rubbish", plans.LIES)
        await asker.ask("three failures", plans.RETRIES)
        for remote in (True, False):
            await _troubles(asker, remote=remote)
        return asker.asked


async def _troubles(asker: Asker, *, remote: bool) -> None:
    """Learn what is usual, open a breaker, and ask for everything at once."""
    where = "" if remote else ", embedded"
    world = asker.world
    client: AsyncClient = world.remote if remote else world.embedded
    for _ in range(SAMPLES):
        await world.call(client, LEARNS, metadata=unrecorded())
    for number in range(40):  # until both replicas are left alone: five failures each, of up to three attempts a request
        report = await asker.ask(f"failing {number}{where}", plans.BREAKS, remote=remote)
        if report["tax_id"].reason is BranchReason.BREAKER_OPEN:
            break
    for _ in range(10):  # on a slow machine the breaker is due for a probe meanwhile, and opens again for twice as long
        report = await asker.ask(f"everything{where}", MESH, STUMBLE, remote=remote)
        if report["holiday"].reason is BranchReason.BREAKER_OPEN:
            break
