"""The Lab: a plan under fake workers on virtual time. The engine is the real one, from routing to report.

async def test_slow_geo_is_left_behind(lab: Lab) -> None:
    lab.worker("phone").plays(ends({"valid": True}, after=ms(80)))
    lab.worker("geo").plays(hangs())
    r = await lab.dispatch("enrich_contact", {"phone": "+49 30 1"})
    assert r.report["geo"].reason is BranchReason.SOFT_TIMEOUT
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dispatcher.assembly import MERGES, assemble, embedded
from dispatcher.config import Config, load_file, load_mapping, load_text
from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import AggregationSession, Clock, Deliver, Watch
from dispatcher.flow.reaper import TaskReaper
from dispatcher.layers.types import Attempt, Gate, Sink
from dispatcher.model.plan import Worker
from dispatcher.model.policy import FaultRule
from dispatcher.model.request import LOOSE, Refusal, Request, Tightening
from dispatcher.policies.books import Books
from dispatcher.policies.faults import draw
from dispatcher.policies.overload import Stage
from dispatcher.wire.observers import Nobody
from dispatcher.wire.within import within
from fanmesh.model.coverage import Coverage
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part
from fanmesh.model.report import Report
from fanmesh.model.states import AttemptKind, EmitMode
from fanmesh.model.times import whole
from fanmesh.model.values import Value
from fanmesh.payload import Box, plain
from fanmesh.testing.loop import VirtualClock, VirtualLoop
from fanmesh.testing.scripts import Script, virtual_sleep


@dataclass(slots=True)
class FakeWorker:
    """A worker that plays scripts: the first attempt of a branch the first one, and so on; the last one repeats.

    `calls` are the inputs it was sent, in order, and `kinds` why; `cancelled` counts calls that were cancelled while they ran.
    `up` False: it is not connected. `members`: its replicas, if it has several; each plays its own scripts, or the worker's.
    """

    name: str
    scripts: tuple[Script, ...] = ()
    calls: list[Value] = field(default_factory=list)
    kinds: list[AttemptKind] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0
    up: bool = True
    spare: bool = False
    members: list[FakeWorker] = field(default_factory=list)
    parent: FakeWorker | None = None
    clock: Clock | None = None

    @property
    def address(self) -> str:
        """What stands in reports."""
        return f"lab:{self.name}"

    def plays(self, *scripts: Script) -> FakeWorker:
        """Behave so from now on."""
        self.scripts = scripts
        return self

    def replicas(self, count: int) -> list[FakeWorker]:
        """Have so many endpoints, `lab:name-0` and on. One that was told nothing plays what the worker plays."""
        self.members = [FakeWorker(f"{self.name}-{i}", clock=self.clock) for i in range(count)]
        for member in self.members:
            member.parent = self
        return self.members

    def ready(self) -> bool:
        """Whether it is connected."""
        return self.up

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Play the attempt's script, for as long as the attempt may take."""
        if self.clock is None:
            return await self._play(attempt, sink)
        return await within(attempt, self._play(attempt, sink), self.clock)

    async def _play(self, attempt: Attempt, sink: Sink) -> Outcome:
        scripts = self.scripts or (self.parent.scripts if self.parent is not None else ())
        if not scripts:
            raise AssertionError(f'worker {self.name} has no script: lab.worker("{self.name}").plays(…)')
        script = scripts[min(attempt.number - attempt.run.base, len(scripts) - 1)]  # its own first one, also as a fallback
        value = attempt.run.input.value
        self.calls.append(value)
        self.kinds.append(attempt.kind)
        self.running += 1

        async def take(part: Part) -> Fault | None:
            match sink.part(part, attempt):
                case Gate.STOP:
                    return Fault(FaultKind.CANCELLED, Code.CANCELLED, "nobody waits for it", origin=Origin.LOCAL)
                case Fault() as unfit:
                    return unfit
                case asyncio.Future() as room:
                    await room
            return None

        try:
            return await script.play(value, take)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


class Chance:
    """Random numbers in [0, 1) that are the same in every run; `fixed`: always this one."""

    def __init__(self, seed: int) -> None:
        self.fixed: float | None = None
        self._rule = FaultRule(seed=seed)
        self._drawn = 0

    def __call__(self) -> float:
        """The next one."""
        self._drawn += 1
        return draw(self._rule, self._drawn)[0] if self.fixed is None else self.fixed


@dataclass(frozen=True, slots=True)
class LabResult:
    """How a request ended. `elapsed` is virtual time in ns, exact. `code` is OK if the plan accepted the outcome."""

    value: Value
    report: Report
    refusal: Refusal | None
    elapsed: int

    @property
    def code(self) -> Code:
        """The gRPC status the caller would have seen."""
        return self.refusal.code if self.refusal is not None else Code.OK

    @property
    def reason(self) -> str:
        """The reason in the status; empty if it is OK."""
        return self.refusal.reason if self.refusal is not None else ""

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return self.report.complete

    @property
    def coverage(self) -> Coverage:
        """How much of the plan answered."""
        return self.report.coverage

    @property
    def missing(self) -> tuple[str, ...]:
        """Branches whose own answer is not there."""
        return self.report.missing


class Lab:
    """An engine on virtual time. To be made while a `VirtualLoop` runs; the pytest fixture `lab` does that."""

    def __init__(
        self,
        config: Config | Mapping[str, Any] | str | Path,
        *,
        aggregate: Callable[[Deliver, int], AggregationSession] = embedded,
        seed: int = 0,
    ) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError("a Lab needs a VirtualLoop: use the `lab` fixture, or fanmesh.testing.run_virtual")
        self.config = _loaded(config)
        self.clock = VirtualClock(loop)
        self.reaper = TaskReaper()
        self._workers = {name: FakeWorker(name, clock=self.clock) for name in self.config.catalogue.workers}
        self.books = Books()
        self.stage = Stage.CALM
        self._chance = Chance(seed)
        self._engine = assemble(
            clock=self.clock,
            endpoints=self._endpoints,
            observer=Nobody(),
            reaper=self.reaper,
            aggregate=aggregate,
            books=self.books,
            stage=lambda: self.stage,
            sleep=virtual_sleep,
            uniform=self._chance,
        )
        self._requests = 0
        self._misuses: list[AssertionError] = []
        loop.set_exception_handler(self._defect)

    def _endpoints(self, asked: Worker) -> list[FakeWorker]:
        worker = self._workers[asked.name]
        return worker.members or [worker]

    def chance(self, u: float | None) -> None:
        """Let every random number be `u` from now on, in [0, 1): backoffs are exact then. None: seeded again."""
        self._chance.fixed = u

    def worker(self, name: str) -> FakeWorker:
        """The fake worker of this name; KeyError names those there are."""
        try:
            return self._workers[name]
        except KeyError:
            raise KeyError(f"no worker {name!r}; there are {', '.join(self._workers)}") from None

    async def dispatch(
        self,
        plan: str = "",
        input: Any = None,  # noqa: A002  (the protocol's word)
        *,
        timeout: int | None = None,  # noqa: ASYNC109  (the caller's deadline, in ns: it is divided, not awaited)
        attributes: Mapping[str, str] | None = None,
        tightening: Tightening = LOOSE,
        emit: EmitMode = EmitMode.FINAL,
        watch: Watch | None = None,
    ) -> LabResult:
        """Run a request. A plan that does not accept the outcome is a result with a `code`, not an exception.

        Raises LookupError if there is no such plan, or no route matches; AssertionError if a worker has no script, or plays a
        stream although it does not stream.
        """
        if timeout is not None:
            whole("timeout", timeout)
        self._requests += 1
        began = self.clock.now()
        request = Request(
            id=f"lab-{self._requests}",
            plan=plan,
            input=Box.of(plain(input)),
            arrived=began,
            attributes=dict(attributes or {}),
            remaining=timeout,
            tightening=tightening,
            emit=emit,
        )
        reply = await dispatch(self._engine, self.config.catalogue, request, watch)
        elapsed = self.clock.now() - began
        await self.settle()
        if self._misuses:
            raise self._misuses.pop(0)
        if reply.report is None:
            raise LookupError(reply.refusal.message if reply.refusal is not None else "no plan ran")
        return LabResult(reply.value, reply.report, reply.refusal, elapsed)

    def _defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A defect of a worker or a layer is a failed branch, as in production; a Lab that is used wrongly fails the test."""
        match context.get("exception"):
            case AssertionError() as misuse:
                self._misuses.append(misuse)
            case _:
                loop.default_exception_handler(context)

    async def settle(self) -> None:
        """Let everything happen that needs no time: cancellations arrive."""
        loop = asyncio.get_running_loop()
        quiet = asyncio.Event()
        loop.alarm(quiet.set)  # type: ignore[attr-defined]  # checked in __init__
        await quiet.wait()

    def assert_nothing_left(self) -> None:
        """No task, no call, no cancelled branch, no permit is left over."""
        everyone = [one for worker in self._workers.values() for one in (worker, *worker.members)]
        running = [worker.name for worker in everyone if worker.running]
        assert not running, f"calls still run at {', '.join(running)}"  # noqa: S101  (this is a testing tool)
        assert not self.reaper.open, f"{self.reaper.open} cancelled branches have not ended"  # noqa: S101
        for book in self.books.workers.values():
            assert not book.queue.running, f"{book.queue.running} places of {book.name} are not given back"  # noqa: S101
            assert not len(book.queue), f"{len(book.queue)} still wait for {book.name}"  # noqa: S101
            taken = [e.address for e in book.endpoints.values() if e.in_flight.count]
            assert not taken, f"permits are not given back at {', '.join(taken)}"  # noqa: S101
        flying = ["/".join(branch) for branch, cache in self.books.caches.branches.items() if len(cache.flights)]
        assert not flying, f"a call is still waited for in {', '.join(flying)}"  # noqa: S101
        others = [t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
        assert not others, f"tasks are left: {', '.join(others)}"  # noqa: S101


def _loaded(config: Config | Mapping[str, Any] | str | Path) -> Config:
    match config:
        case Config():
            return config
        case Path():
            return load_file(config, MERGES)
        case str():
            return load_text(config, filename="lab.yaml", merges=MERGES)
        case _:
            return load_mapping(config, MERGES)
