"""The second driver: the whole stack, from the plan to the report, on virtual time."""

from __future__ import annotations

import asyncio

from dispatcher.config import Config
from dispatcher.flow.dispatch import dispatch
from dispatcher.layers.types import Attempt, Sink
from dispatcher.model.request import Request, Tightening
from dispatcher.policies.overload import Stage
from fanmesh.model.outcome import Outcome
from fanmesh.model.values import Value
from fanmesh.payload import Box
from fanmesh.testing import FakeWorker, Lab, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.conformance.casebook import ns
from tests.conformance.drivers import VIRTUAL_TICK
from tests.conformance.policies.casebook import BRANCH, Asked, PolicyCase, configuration, warm
from tests.conformance.policies.checking import Seen, SeenRequest, of_book, seen_in
from tests.conformance.policies.scripted import NEVER_SENT, lab_script


class _Member(FakeWorker):
    """One endpoint of a case: each call does what is next."""

    def __init__(self, case: PolicyCase, index: int, parent: FakeWorker) -> None:
        super().__init__(f"{case.name}-{index}", parent=parent, clock=parent.clock, up=case.away(index) != "dead")
        self.case = case
        self.index = index

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        if self.case.away(self.index) is not None:
            self.up = False
            return NEVER_SENT
        self.scripts = (lab_script(self.case.does(self.index, len(self.calls)), VIRTUAL_TICK),)
        return await super().call(attempt, sink)


def lab(case: PolicyCase, config: Config) -> Seen:
    """Play it in the Lab."""

    async def main() -> Seen:
        lab = Lab(config)
        lab.chance(case.chance)
        lab.stage = Stage[case.stage]
        worker = lab.worker(case.name)
        members = [_Member(case, index, worker) for index in range(len(case.endpoints))]
        worker.members = list(members)
        addresses = [member.address for member in members]
        warm(case, lab.books.of(case.name), addresses, lab.clock.now(), VIRTUAL_TICK)

        async def ask(number: int, asked: Asked) -> SeenRequest:
            await virtual_sleep(round(asked.at * VIRTUAL_TICK))
            request = Request(
                f"lab-{number}",
                case.name,
                Box.of(None),
                lab.clock.now(),
                tightening=Tightening(ns(asked.latency, VIRTUAL_TICK)),
                inherited=asked.inherited,
                critical=asked.critical,
            )
            reply = await dispatch(lab._engine, lab.config.catalogue, request)
            assert reply.report is not None
            return seen_in(reply.report.branches[0], of(reply.value), lab.clock.now() - request.arrived, addresses)

        requests = await asyncio.gather(*(ask(number, asked) for number, asked in enumerate(case.requests)))
        await lab.settle()
        assert not lab._misuses
        lab.assert_nothing_left()
        breakers, counts = of_book(lab.books.of(case.name), addresses)
        calls, cancels = [len(member.calls) for member in members], [member.cancelled for member in members]
        return Seen(requests, breakers, calls, cancels, counts)

    return run_virtual(main())


def of(value: Value) -> Value:
    """The branch's own answer in a collected one."""
    return value.get(BRANCH) if isinstance(value, dict) else None


def on(tick: int, cases: list[PolicyCase]) -> Config:
    """The configuration for drivers without a network."""
    return configuration(cases, tick, {case.name: [f"127.0.0.1:{i + 1}" for i in range(len(case.endpoints))] for case in cases})
