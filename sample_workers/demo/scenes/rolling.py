"""Claim 12: replicas can be restarted one after the other under load, and no caller hears of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from fanmesh.cli.bars import time
from fanmesh.cli.tones import Tone
from fanmesh.model.times import MS
from fanmesh.runtime.clock import now_ns, sleep
from sample_workers.demo import cast, plans
from sample_workers.demo.load import load, rows, tries, until
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import Answer, World, together

CALLERS = 4
PAUSE = 10 * MS
BEFORE = 300 * MS
"""Of load before the first restart and after the last one."""


class Away(NamedTuple):
    """When `process` was being restarted, from SIGTERM until it served again; ns."""

    process: str
    began: int
    ended: int


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    done = asyncio.Event()
    restarts: list[Away] = []
    answers: list[Answer] = []

    async def call() -> None:
        answers.extend(await load(world, plans.ROLLS, until(done), callers=CALLERS, pause=PAUSE))

    await together(call(), _restart(world, restarts, done))
    others = _table(stage, answers, restarts, {world.processes[name].address: name for name in cast.REPLICAS})
    retried = next((answer for answer in answers if len(tries([answer])) > 1), None)
    if retried is not None:
        stage.line("   a call that met a replica as it left", Tone.QUIET)
        stage.waterfall(retried.report, retried.status or None)
    failed = [answer.status or "partial" for answer in answers if answer.status or not answer.report.complete]
    stage.same("replicas that were restarted", len(restarts), len(cast.REPLICAS))
    stage.same("restarts during which another replica answered", others, len(restarts))
    stage.true(f"failed calls, of {len(answers)}", bool(answers) and not failed, Counter(failed).most_common() or 0)


def _table(stage: Stage, answers: list[Answer], restarts: list[Away], names: dict[str, str]) -> int:
    """A line for each restart. During how many of them others answered."""
    stage.line(f"   {'restarted':<18}{'away':>8}{'calls':>6}{'failed':>7}{'retried':>8}   answered by", Tone.QUIET)
    ports = {name: f":{address.rpartition(':')[2]}" for address, name in names.items()}
    covered = 0
    for process, began, ended in restarts:
        during = [answer for answer in answers if began <= answer.sent < ended]
        failed = sum(bool(answer.status) for answer in during)
        retried = len(tries(during)) - len(during)
        by = Counter(names.get(row.endpoint, row.endpoint) for row in rows(during))
        covered += any(name != process for name in by)
        told = " · ".join(f"{name} {count}" for name, count in sorted(by.items()))
        stage.line(
            f"   {f'{process} {ports[process]}':<18}{time(ended - began):>8}{len(during):>6}{failed:>7}{retried:>8}   {told}"
        )
    return covered


async def _restart(world: World, restarts: list[Away], done: asyncio.Event) -> None:
    try:
        await sleep(BEFORE)
        for process in cast.REPLICAS:
            began = now_ns()
            await world.restart(process)
            restarts.append(Away(process, began, now_ns()))
            await sleep(BEFORE)
    finally:
        done.set()
