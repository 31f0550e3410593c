"""Four ways to run a case: the fold alone, the whole stack on virtual time, and real gRPC with either aggregator."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from google.rpc.error_details_pb2 import ErrorInfo

from aggregator.engine.accumulate import Accumulator, PartError
from aggregator.engine.fold import Fold
from dispatcher.app import Dispatcher
from dispatcher.config import Config
from dispatcher.flow.ports import Clock
from dispatcher.flow.prepare import start_event
from dispatcher.layers.types import Attempt, Sink
from dispatcher.model.deadlines import divide
from dispatcher.model.plan import Node, Plan, unfit
from dispatcher.model.reading import Reading, Unreadable
from dispatcher.model.request import Refusal, Request
from dispatcher.settings import Settings
from fanmesh import client_codec as codec
from fanmesh.expr import evaluator
from fanmesh.model.events import Alarm, Effect, Event, Result, Verdict
from fanmesh.model.fault import Code
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, IfMissing, OnFailure
from fanmesh.model.times import MS, seconds
from fanmesh.model.values import Value
from fanmesh.payload import Box, to_value
from fanmesh.result import Accept, Budget
from fanmesh.runtime.clock import now_ns
from fanmesh.testing import FakeWorker, Lab, run_virtual
from fanmesh.transport import status
from fanmesh.transport.port import RpcError, Server, Transport
from fanmesh.v1.dispatcher_pb2 import DispatchResponse
from fanmesh.workers import serve
from tests.conformance.casebook import WORKERS, Case, Seen, configuration, fate, named_row, ns, seen_in
from tests.conformance.scripted import lab_script, of_attempt, of_item, plain_ending, real_workers, rubbish, sure_by
from tests.kit.naive import Course
from tests.kit.naive_lists import NaiveLists
from tests.kit.waiting import until

R, S = BranchReason, BranchState

VIRTUAL_TICK = 100 * MS
REAL_TICK = 50 * MS
"""Long enough that what is a tick apart cannot change places on a machine that is not held up; see Stage.play."""

NOBODY = 1
"""A port on which nobody listens; the same for all, because it stands in error messages."""


# ---------------------------------------------------------------- (a) the fold alone


def pure(case: Case, config: Config) -> Seen:
    """Write the log that the case's workers make, staged by a scheduler of its own, and fold it."""
    tick = VIRTUAL_TICK
    plan = config.catalogue.plans[case.name]
    request = Request(
        "r", plan.name, Box.of(case.data), 0, case.attributes, ns(case.timeout, tick), tightening=case.tightening(tick)
    )
    deadlines = divide(request.remaining, plan.latency, plan.merge_reserve, request.tightening.latency)
    naive = NaiveLists(
        plan.nodes,
        request.input,
        request.attributes,
        deadlines.stop,
        lambda node, reading: _course(case, plan, node, reading),
        request.tightening.required | {node.id for node in plan.nodes if node.required or node.if_missing is IfMissing.FAIL},
    )
    naive.halts = plan.completion.on_failure is not OnFailure.SETTLE
    timeline = naive.tell()  # at one instant in the order of their sends, which at first is the plan's
    fold, effects = Fold(evaluator), list[Effect]()
    log = [(0, start_event(plan, request, deadlines)), *timeline, (deadlines.stop, Alarm(AlarmKind.STOP))]
    for seq, (at, what) in enumerate(log, 1):
        if fold.verdict is None and at <= deadlines.stop:
            effects += fold.apply(Event(seq, at, what))
    (verdict,) = [effect for effect in effects if isinstance(effect, Verdict)]
    (result,) = [effect for effect in effects if isinstance(effect, Result)]
    rows = list(_rows(plan, fold, result))
    return Seen(
        by=verdict.completed_by.name,
        fates={name: fate(state.name, reason.name) for name, state, reason, _ in rows},
        value=result.value,
        merged=[name for name, _, _, merged in rows if merged],
        coverage=result.coverage._asdict(),
        conflicts=[conflict.path for conflict in result.conflicts],
        at=verdict.at,
    )


def _rows(plan: Plan, fold: Fold, result: Result) -> Iterator[tuple[str, BranchState, BranchReason, bool]]:
    """(name, state, reason, whether it was merged) of each node, or of each item of its list."""
    for at, (node, (state, reason)) in enumerate(zip(plan.nodes, fold.final_states(), strict=True)):
        own = node.id in result.merged
        if (group := fold._books.groups.get(at)) is None:
            yield node.id, state, reason, own
            continue
        for key, item_state, item_reason in zip(group.keys, group.states, group.reasons, strict=True):
            given = item_state in (S.SUCCEEDED, S.DEFAULTED) or item_reason is R.STREAM_BROKEN
            yield named_row(node.id, key, 0), item_state, item_reason, own and given


def _course(case: Case, plan: Plan, node: Node, reading: Reading) -> Course:
    """What one branch's worker does, as the plan takes it."""
    own = reading.input if node.each is None else reading.item
    sent = own if node.input is None else node.input(reading)
    script = of_item(case.scripts[node.id], sent)
    plain = plain_ending(script, VIRTUAL_TICK, None if isinstance(sent, Unreadable) else sent)
    whole, end, parts, replace = Accumulator(), plain, list[tuple[int, Value]](), script.get("replace", False)
    for seq, (at, part) in enumerate(plain.parts):
        try:
            whole.add(0, seq, replace=replace, value=part)
        except PartError:
            end = plain._replace(at=at, state=S.FAILED, reason=R.INVALID_RESPONSE)
            break
        parts.append((at, part))
    value = whole.value() if plain.parts else end.value
    if end.state is S.SUCCEEDED:
        mapping = Reading(Box.of(case.data), case.attributes, value, reading.branches, item=reading.item, index=reading.index)
        mapped = value if node.output is None else node.output(mapping)
        if isinstance(mapped, Unreadable) or unfit(node, mapped, plan.accepts) is not None:
            end = end._replace(state=S.FAILED, reason=R.INVALID_RESPONSE)
        else:
            value = mapped
    told = () if node.whole_only else tuple(parts)
    sures = tuple(sure_by(script, seq + 1) for seq in range(len(told)))
    return Course(end.at, end.state, end.reason, value, end.sure, told, replace, sures)


# ---------------------------------------------------------------- (b) the whole stack on virtual time


class _ByBranch(FakeWorker):
    """Does what the case says of the branch."""

    def __init__(self, name: str, case: Case, clock: Clock) -> None:
        super().__init__(name, clock=clock)
        self._case = case

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        doing = of_item(of_attempt(self._case.scripts, attempt.run.node.id, attempt.number), attempt.run.input.value)
        self.scripts = (lab_script(doing, VIRTUAL_TICK),)
        return await super().call(attempt, sink)


def lab(case: Case, config: Config) -> Seen:
    """Dispatch it in the Lab."""

    async def main() -> Seen:
        lab = Lab(config)
        lab._workers = {name: _ByBranch(name, case, lab.clock) for name in WORKERS}
        r = await lab.dispatch(
            case.name,
            case.data,
            timeout=ns(case.timeout, VIRTUAL_TICK),
            attributes=case.attributes,
            tightening=case.tightening(VIRTUAL_TICK),
        )
        lab.assert_nothing_left()
        return seen_in(r.report, r.value, r.refusal, r.code, r.elapsed)

    return run_virtual(main())


# ---------------------------------------------------------------- (c), (d) real gRPC


class Stage:
    """Real workers, a real dispatcher, and, if it is `remote`, the Aggregator service as a process of its own."""

    def __init__(self, cases: list[Case], transport: Transport, *, remote: bool, directory: Path) -> None:
        self._cases = {case.name: case for case in cases}
        self._transport = transport
        self._remote = remote
        self._log = directory / "aggregator.log"
        self._aggregator: subprocess.Popen[bytes] | None = None
        self._servers: list[Server] = []

    async def open(self) -> Self:
        """Start everything."""
        aggregator = self._start_aggregator() if self._remote else "embedded"
        workers = await serve(*real_workers(REAL_TICK), transport=self._transport)
        liar = self._transport.server("127.0.0.1:0", rubbish(REAL_TICK))
        await liar.start()
        self._servers = [workers, liar]
        ports = {**dict.fromkeys(("once", "parts", "writes"), workers.port), "rubbish": liar.port, "dead": NOBODY}
        targets = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        config = configuration(list(self._cases.values()), REAL_TICK, targets, aggregator=aggregator, drain="1s")
        settings = Settings(listen="127.0.0.1:0", ready_within=1.0, ack_limit=False)
        self._dispatcher = Dispatcher(config, settings, self._transport)
        await self._dispatcher.start()
        if self._dispatcher._remote is not None:
            self._dispatcher._remote.acks = settings.ack_limit
            assert await self._dispatcher._remote.channel.wait_ready(10.0)
        self._channel = self._transport.connect(f"127.0.0.1:{self._dispatcher.port}")
        assert await self._channel.wait_ready(10.0)
        return self

    async def close(self) -> None:
        """End everything."""
        await self._channel.close()
        await self._dispatcher.stop()
        for server in self._servers:
            await server.stop()
        if self._aggregator is not None:
            self._aggregator.terminate()
            await asyncio.get_running_loop().run_in_executor(None, self._aggregator.wait, 10)

    async def play(self, name: str) -> DispatchResponse:
        """The answer to a case.

        A run in which this process, which is dispatcher and workers at once, was held up for half a tick proves nothing about
        what comes a tick apart, and is repeated; so is one in which the aggregator was too slow, and given up, as it has to be.
        """
        for _ in range(8):
            lag = asyncio.ensure_future(_lag())
            await asyncio.sleep(0)  # a task that is cancelled before it begins measures nothing
            failed: RpcError | None = None
            try:
                response = await self._call(self._cases[name])
            except RpcError as error:
                failed = error
            lag.cancel()
            if await lag > REAL_TICK // 2:
                continue
            if failed is not None:
                raise failed
            if self._merged_where_it_should(response):
                return response
        raise AssertionError("this machine is too busy: every one of eight runs was held up")

    def _merged_where_it_should(self, response: DispatchResponse) -> bool:
        report = codec.report_in(response)
        assert report is not None
        return report.aggregator_mode.name == ("REMOTE" if self._remote else "EMBEDDED")

    async def _call(self, case: Case) -> DispatchResponse:
        latency = ns(case.latency, REAL_TICK)
        message = codec.request(
            case.name,
            case.data,
            attributes={"script": json.dumps(case.scripts), **case.attributes},
            budget=Budget(latency=seconds(latency)) if latency is not None else None,
            accept=Accept(
                case.accept.get("min_success"), case.accept.get("min_coverage"), tuple(case.accept.get("required", ()))
            )
            if case.accept
            else None,
            full_report=True,
        )
        timeout = ns(case.timeout, REAL_TICK)
        reply = await self._channel.unary(
            codec.DISPATCH, message.SerializeToString(), timeout=None if timeout is None else seconds(timeout)
        )
        return DispatchResponse.FromString(reply.payload)

    def _start_aggregator(self) -> str:
        with self._log.open("wb") as out:
            self._aggregator = subprocess.Popen(
                [sys.executable, "-m", "aggregator", "--listen", "127.0.0.1:0"], stdout=out, stderr=subprocess.STDOUT
            )
        until(lambda: b'"port"' in self._log.read_bytes(), "the aggregator to listen", 20.0)
        line = next(line for line in self._log.read_text().splitlines() if '"port"' in line)
        return f"127.0.0.1:{json.loads(line)['port']}"


async def _lag() -> int:
    """The longest that the loop was late, in ns, until this is cancelled."""
    worst, step = 0, 5 * MS
    try:
        while True:
            before = now_ns()
            await asyncio.sleep(seconds(step))
            worst = max(worst, now_ns() - before - step)
    except asyncio.CancelledError:
        return worst


def seen_on_the_wire(response: DispatchResponse) -> Seen:
    """What a caller was told."""
    report = codec.report_in(response)
    assert report is not None
    code = Code(response.outcome.code)
    info = status.find(response.outcome, ErrorInfo)
    refusal = None if info is None else Refusal(code, info.reason, "")
    value: Value = to_value(response.result) if response.HasField("result") else None
    return seen_in(report, value, refusal, code, None)


def scrubbed(response: DispatchResponse) -> bytes:
    """The answer without ids, timings, endpoints and mode: all the rest is the same wherever the merge ran."""
    same = DispatchResponse.FromString(response.SerializeToString())
    report = same.report
    for name in ("request_id", "trace_id", "config_version", "elapsed", "aggregator_mode", "critical_path"):
        report.ClearField(name)
    for row in report.branches:
        for name in ("endpoint", "started_after", "elapsed", "queued", "span_id"):
            row.ClearField(name)
        for decision in row.decisions:
            decision.ClearField("after")
        for attempt in row.attempts:
            for name in ("endpoint", "started_after", "elapsed"):
                attempt.ClearField(name)
    return same.SerializeToString(deterministic=True)


def on(tick: int, cases: list[Case]) -> Config:
    """The configuration for drivers without a network."""
    return configuration(cases, tick, dict.fromkeys(WORKERS, "127.0.0.1:1"))
