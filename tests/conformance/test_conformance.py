"""The cases, by every driver: what is decided does not depend on where it is decided, nor on how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Transport
from fanmesh.v1.dispatcher_pb2 import DispatchResponse
from tests.conformance.casebook import Case, check, load
from tests.conformance.drivers import REAL_TICK, VIRTUAL_TICK, Stage, lab, on, pure, scrubbed, seen_on_the_wire

CASES = load()
CONFIG = on(VIRTUAL_TICK, CASES)
NAMES = [case.name for case in CASES]

TRANSPORTS: dict[str, Callable[[], Transport]] = {"grpc_aio": GrpcTransport, "fast": FastTransport}
"""Every implementation of the transport port passes the same cases."""


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Callable[[], Transport]:
    return TRANSPORTS[request.param]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def staged(
    runner: asyncio.Runner, transport: Callable[[], Transport], directory: Path, *, remote: bool
) -> Iterator[Callable[[str], DispatchResponse]]:
    """A stage, and what it answers to a case; each case is played once."""
    answers: dict[str, DispatchResponse] = {}

    async def make() -> Stage:
        return await Stage(CASES, transport(), remote=remote, directory=directory).open()

    stage = runner.run(make())

    def play(name: str) -> DispatchResponse:
        if name not in answers:
            answers[name] = runner.run(stage.play(name))
        return answers[name]

    yield play
    runner.run(stage.close())


@pytest.fixture(scope="module")
def embedded(runner: asyncio.Runner, transport: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    yield from staged(runner, transport, tmp_path_factory.mktemp("embedded"), remote=False)


@pytest.fixture(scope="module")
def remote(runner: asyncio.Runner, transport: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    yield from staged(runner, transport, tmp_path_factory.mktemp("remote"), remote=True)


def only(driver: str) -> list[Case]:
    """The cases that a driver can play."""
    return [case for case in CASES if driver in case.drivers]


@pytest.mark.parametrize("case", only("pure"), ids=lambda case: case.name)
def test_pure(case: Case) -> None:
    """The log of the case, written by hand, folds to what the case expects, at the instant it expects."""
    check(case, pure(case, CONFIG), VIRTUAL_TICK)


@pytest.mark.parametrize("case", only("lab"), ids=lambda case: case.name)
def test_on_virtual_time(case: Case) -> None:
    """The whole stack, on virtual time, comes to the same, to the nanosecond."""
    check(case, lab(case, CONFIG), VIRTUAL_TICK)


@pytest.mark.parametrize("case", only("wire"), ids=lambda case: case.name)
def test_over_grpc(case: Case, embedded: Callable[[str], DispatchResponse]) -> None:
    """Real workers behind a real dispatcher come to the same."""
    check(case, seen_on_the_wire(embedded(case.name)), REAL_TICK)


@pytest.mark.parametrize("case", only("remote"), ids=lambda case: case.name)
def test_with_the_aggregator_service(
    case: Case, embedded: Callable[[str], DispatchResponse], remote: Callable[[str], DispatchResponse]
) -> None:
    """With the Aggregator service the answer is the same to the bit: ids, timings, endpoints and mode aside."""
    answer = remote(case.name)
    check(case, seen_on_the_wire(answer), REAL_TICK)
    assert scrubbed(answer) == scrubbed(embedded(case.name))


def test_there_are_enough() -> None:
    """Names are unique, and every case says which rule it is about."""
    assert len(set(NAMES)) == len(NAMES) >= 45
    assert all(case.rule for case in CASES)
    waiting = [name for name in NAMES if CONFIG.catalogue.plans[name].graph is not None]
    assert len(waiting) >= 100
