"""The workers in examples/, in three languages and each a process, called by one plan as examples/README.md says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanmesh.client import AsyncClient
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport
from fanmesh.model.states import AttemptKind, BranchReason, BranchState
from fanmesh.result import Result
from fanmesh.transport.grpc_aio import GrpcTransport
from tests.kit.examples import NO_PROXY, Note, copied, plans_of, present, shell, succeeds, typed
from tests.kit.mesh import At, running
from tests.kit.programs import ROOT, Program, program

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MS = 1_000_000

LANGUAGES = {"python": "Python", "go": "Go", "node": "Node"}
"""By branch; in the order of the README's lines."""


@asynccontextmanager
async def started(note: Note) -> AsyncIterator[dict[str, tuple[Program, str]]]:
    """The workers, each a process, started as the README says but for the port: by branch, the program and its address."""
    lines = dict(zip(LANGUAGES, typed("Workers")[0].splitlines(), strict=False))
    named = {f"worker in {language}": branch for branch, language in LANGUAGES.items()}
    async with AsyncExitStack() as stack:
        found = {}
        for name in present({name: LANGUAGES[branch] for name, branch in named.items()}, note):
            *first, last = lines[named[name]].strip("()").split(" && ")
            if first:
                await succeeds(" && ".join(first))
            where = next((step.removeprefix("cd ") for step in first if step.startswith("cd ")), ".")
            process = await stack.enter_async_context(serving(copied() / where, last))
            port = (await process.says(r"serving on port (\d+)"))[1]
            found[named[name]] = (process, f"127.0.0.1:{port}")
        yield found


def serving(folder: Path, line: str) -> AbstractAsyncContextManager[Program]:
    """A program that goes on, in the copy of the tree; without a shell around it, so that it can be ended."""
    command, *arguments = line.split()
    if command == "python":
        command = sys.executable
    elif "/" in command:
        command = str(folder / command)
    return program(command, *arguments, "127.0.0.1:0", cwd=folder, environment=NO_PROXY)


@asynccontextmanager
async def served(workers: dict[str, tuple[Program, str]], **times: str) -> AsyncIterator[str]:
    """A dispatcher with the plans of examples/fanmesh.yaml, for the workers that are here: where it listens."""
    plans = plans_of(ROOT / "examples" / "fanmesh.yaml", **times)
    for plan in plans.values():
        plan["branches"] = {name: keys for name, keys in plan["branches"].items() if name in workers}
    addressed = {name: At(address) for name, (_, address) in workers.items()}
    async with running(addressed, plans, default_policy="standard") as mesh:
        yield f"127.0.0.1:{mesh.dispatcher.port}"


@asynccontextmanager
async def asked(workers: dict[str, tuple[Program, str]], **times: str) -> AsyncIterator[AsyncClient]:
    """A client of such a dispatcher."""
    async with served(workers, **times) as target, AsyncClient(target) as client:
        yield client


PATIENT = {"latency": "40s", "soft_timeout": "20s"}
IMPATIENT = {"latency": "40s", "soft_timeout": "2s"}
"""For branches that are to be left behind: it is waited for, so it is short; the others have to answer in it."""


async def test_workers_in_three_languages_make_one_answer(record_property: Note) -> None:
    """Each answers under its own name, says how sure it is, and has been told how long the caller waits."""
    async with started(record_property) as workers, asked(workers, **PATIENT) as client:
        r = await client.dispatch("greet", {"name": "Ada"})
    assert r.complete
    assert {branch: answer["hello"] for branch, answer in r.value.items()} == {
        branch: f"Hello Ada, from {LANGUAGES[branch]}" for branch in workers
    }
    assert all(0 < answer["left_ms"] <= 40_000 for answer in r.value.values())
    assert all(row.confidence == 0.9 for row in r.report.branches)


async def test_workers_that_are_busy_are_asked_again_when_they_said(record_property: Note) -> None:
    """A status with pushback is waited for, and then the worker answers."""
    async with started(record_property) as workers, asked(workers, **PATIENT) as client:
        r = await client.dispatch("greet", {"name": "Ada", "busy": sorted(workers)})
    assert r.complete
    for row in r.report.branches:
        check_waited(row)


def check_waited(row: BranchReport) -> None:
    """Two attempts, the second no earlier than the first one's answer asked for."""
    refused, answered = row.attempts
    assert (refused.code, answered.code) == (int(Code.RESOURCE_EXHAUSTED), int(Code.OK)), row.branch
    assert (refused.kind, answered.kind) == (AttemptKind.FIRST, AttemptKind.RETRY)
    assert answered.started_after >= refused.started_after + refused.elapsed + 20 * MS
    assert answered.won


async def test_workers_that_are_left_behind_are_told(record_property: Note) -> None:
    """A branch that is late is cancelled, and its worker stops, whatever it is written in; the others answer."""
    async with started(record_property) as workers, asked(workers, **IMPATIENT) as client:
        slow = [branch for branch in workers if branch != "python"]
        r: Result[Any] = await client.dispatch("greet", {"name": "Ada", "slow": slow})
        for branch in slow:
            await workers[branch][0].says("cancelled")
    assert list(r.value) == ["python"]
    for branch in slow:
        assert (r.report[branch].state, r.report[branch].reason) == (BranchState.CANCELLED, BranchReason.SOFT_TIMEOUT)


async def test_workers_are_told_that_the_caller_has_gone(record_property: Note) -> None:
    """Cancelling the one call of the caller stops all workers, once all have begun."""
    async with started(record_property) as workers, asked(workers, **PATIENT) as client:
        call = asyncio.ensure_future(client.dispatch("greet", {"slow": sorted(workers)}))
        for process, _ in workers.values():
            await process.says("this will take a minute")
        call.cancel()
        for process, _ in workers.values():
            await process.says("cancelled")


async def test_workers_answer_health_checks(record_property: Note) -> None:
    """By the standard service, which balancers and orchestrators ask."""
    async with started(record_property) as workers:
        for _, address in workers.values():
            channel = GrpcTransport().connect(address)
            try:
                reply = await channel.unary("/grpc.health.v1.Health/Check", b"", timeout=20.0)
            finally:
                await channel.close()
            assert reply.payload == b"\x08\x01"  # SERVING


async def test_workers_are_called_by_the_lines_of_the_readme(record_property: Note) -> None:
    """Whole answers, also after a refusal; a partial one (exit code 3) where a worker is left behind."""
    lines = typed("Workers")[1].splitlines()
    async with started(record_property) as workers, served(workers, **IMPATIENT) as target:
        codes = [(await shell(f"{line} --server {target}", proxies=False))[0] for line in lines]
    assert codes == [0, 0, 3 if "node" in workers else 0]
