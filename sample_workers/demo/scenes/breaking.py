"""Claim 9: a worker that fails is left alone, costs its callers next to nothing meanwhile, and is found again by itself."""

from __future__ import annotations

from fanmesh.cli.bars import time
from fanmesh.cli.repeating import quantile
from fanmesh.cli.tones import Tone
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.model.times import MS, SECOND
from fanmesh.runtime.clock import now_ns, sleep
from sample_workers.demo import cast, plans
from sample_workers.demo.load import TAX_ID, decided, load, rows, stood_in, tries, unrecorded
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import Answer, World, together

CALLS = 200
ROW = 5
"""Failures in a row that open a breaker of the policy `standard`."""
PER_SECOND = 3
"""Calls that look whether it is well again, at most: one for each of the two breakers that is due, and one for the worker."""
PAUSE = 5 * MS
AFTER = 50


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    answers = await load(world, plans.BREAKS, range(CALLS), pause=PAUSE)
    refused = [answer for answer in answers if answer.report[TAX_ID].reason is BranchReason.BREAKER_OPEN]
    stage.waterfall(answers[0].report)
    stage.waterfall((refused or answers)[-1].report)
    _opened(stage, answers)

    stage.line("   both replicas are replaced by a release that works, while calls go on", Tone.QUIET)
    served, found = await _mended(world)
    after = await load(world, plans.BREAKS, range(AFTER), pause=PAUSE)
    closed = any(decision.what == "breaker_closed" for decision in found.report[TAX_ID].decisions)
    stage.true("a breaker closed", closed, f"{time(max(0, found.sent + found.took - served))} after its replica served again")
    stage.same(f"whole answers, of the next {AFTER}", sum(answer.report.complete for answer in after), AFTER)
    quick, usual = (quantile([answer.took for answer in some], 50) for some in (refused or answers, after))
    told = f"{time(quick)} then, {time(usual)} now (medians)"
    stage.true("answers took no longer while they were open", quick < 1.5 * usual, told)


def _opened(stage: Stage, answers: list[Answer]) -> None:
    opening = [n for n, answer in enumerate(answers, 1) for d in answer.report[TAX_ID].decisions if d.why == "consecutive"]
    stage.same(f"breakers that opened, after {ROW} failures in a row each", len(opening), len(cast.BREAKABLE))
    sent, probes = len(tries(answers)), decided(answers, "probe")
    until = max(opening, default=0)
    stage.same(f"calls sent to tax_id for requests 1 to {until}, retries included", sent - probes, len(cast.BREAKABLE) * ROW)
    seconds = (answers[-1].sent + answers[-1].took - answers[0].sent) // SECOND + 1
    told = f"{probes}, to see whether it is well again"
    stage.true(f"calls sent for requests {until + 1} to {len(answers)}", probes <= PER_SECOND * seconds, told)
    stage.same("partial answers, with tax_id's default in each", stood_in(answers), CALLS)


async def _mended(world: World) -> tuple[int, Answer]:
    """Replace the replicas. When the first served again, and the first answer that tax_id is in."""
    served: list[int] = []
    found: list[Answer] = []

    async def replace(process: str) -> None:
        await world.restart(process, cast.replica(process, world.seed, mended=True))
        served.append(now_ns())

    async def call() -> None:
        while not found:
            answer = await world.call(world.embedded, plans.BREAKS, metadata=unrecorded())
            if rows([answer])[0].state is BranchState.SUCCEEDED:
                found.append(answer)
            await sleep(PAUSE)

    await together(call(), *(replace(process) for process in cast.BREAKABLE))
    return served[0], found[0]
