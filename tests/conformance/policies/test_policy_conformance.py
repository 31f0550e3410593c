"""The cases about policies, by every driver: what is decided does not depend on where or how fast it is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop

from fanmesh.transport.fast import FastTransport
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Transport
from tests.conformance.drivers import REAL_TICK, VIRTUAL_TICK
from tests.conformance.policies.casebook import PolicyCase, load
from tests.conformance.policies.checking import check
from tests.conformance.policies.drivers import lab, on
from tests.conformance.policies.stage import Played, Stage, same
from tests.conformance.policies.timeline import pure

CASES = load()
CONFIG = on(VIRTUAL_TICK, CASES)
NAMES = [case.name for case in CASES]

Play: TypeAlias = Callable[[str], Played]

TRANSPORTS: dict[str, Callable[[], Transport]] = {"grpc_aio": GrpcTransport, "fast": FastTransport}
"""Every implementation of the transport port passes the same cases."""


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Callable[[], Transport]:
    return TRANSPORTS[request.param]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def staged(runner: asyncio.Runner, transport: Callable[[], Transport], directory: Path, *, remote: bool) -> Play:
    """Play every case once, slower if this machine is too busy; what is returned tells what came of it."""
    played: dict[str, Played | Exception] = {}

    async def play_at(tick: int, *, last: bool) -> None:
        cases = [case for case in only("remote" if remote else "wire") if case.name not in played]
        if not cases:
            return
        stage = await Stage(cases, transport(), remote=remote, directory=directory, tick=tick).open()
        try:
            played.update(await stage.play_all(last=last))
        finally:
            await stage.close()

    for slower in (1, 3):
        runner.run(play_at(slower * REAL_TICK, last=slower == 3))

    def play(name: str) -> Played:
        one = played.get(name, AssertionError("this machine is too busy: every run was held up"))
        if isinstance(one, Exception):
            raise one
        return one

    return play


@pytest.fixture(scope="module")
def embedded(runner: asyncio.Runner, transport: Any, tmp_path_factory: pytest.TempPathFactory) -> Play:
    return staged(runner, transport, tmp_path_factory.mktemp("embedded"), remote=False)


@pytest.fixture(scope="module")
def remote(runner: asyncio.Runner, transport: Any, tmp_path_factory: pytest.TempPathFactory) -> Play:
    return staged(runner, transport, tmp_path_factory.mktemp("remote"), remote=True)


def only(driver: str) -> list[PolicyCase]:
    """The cases that a driver can play."""
    return [case for case in CASES if driver in case.drivers]


@pytest.mark.parametrize("case", only("pure"), ids=lambda case: case.name)
def test_pure(case: PolicyCase) -> None:
    """The policies alone, asked by hand over a timeline, decide what the case expects, at the instant it expects."""
    check(case, pure(case, CONFIG), VIRTUAL_TICK, exact=True)


@pytest.mark.parametrize("case", only("lab"), ids=lambda case: case.name)
def test_on_virtual_time(case: PolicyCase) -> None:
    """The whole stack, on virtual time, comes to the same, to the nanosecond."""
    check(case, lab(case, CONFIG), VIRTUAL_TICK, exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("case", only("wire"), ids=lambda case: case.name)
def test_over_grpc(case: PolicyCase, embedded: Play) -> None:
    """Real endpoints behind a real dispatcher come to the same, in the same order."""
    check(case, embedded(case.name).seen, REAL_TICK, exact=False)


@pytest.mark.slow
@pytest.mark.parametrize("case", only("remote"), ids=lambda case: case.name)
def test_with_the_aggregator_service(case: PolicyCase, embedded: Play, remote: Play) -> None:
    """With the Aggregator service the answers are the same to the bit: ids, timings, endpoints and mode aside."""
    played = remote(case.name)
    check(case, played.seen, REAL_TICK, exact=False)
    assert [same(answer) for answer in played.answers] == [same(answer) for answer in embedded(case.name).answers]


def test_there_are_enough() -> None:
    """Names are unique, every case says which rule it is about, and hardly any is left out by a driver."""
    assert len(set(NAMES)) == len(NAMES) >= 120
    assert all(case.rule for case in CASES)
    assert sum(case.drivers != ("pure", "lab", "wire", "remote") for case in CASES) <= 4
