"""Claim 10: a few calls that are slow by chance need not be waited for, and the price of that is small and bounded."""

from __future__ import annotations

from fanmesh.cli.bars import ratio, time
from fanmesh.cli.repeating import quantile
from fanmesh.cli.tones import Tone
from fanmesh.model.states import AttemptKind
from sample_workers.demo import plans
from sample_workers.demo.load import decided, load, rows, tries
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import Answer, World

CALLS = 400
LEARNING = 100
"""Calls before those that are measured: below 50 it is not known what is slow, and nothing is hedged."""
CALLERS = 10
CAP = 0.05


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    plain = await load(world, plans.WAITS, range(CALLS), callers=CALLERS)
    learning = await load(world, plans.HEDGES, range(LEARNING), callers=CALLERS)
    hedged = await load(world, plans.HEDGES, range(CALLS), callers=CALLERS)
    every = [*learning, *hedged]

    won = [answer for answer in hedged if any(a.kind is AttemptKind.HEDGE and a.won for a in answer.report["tax_id"].attempts)]
    if won:
        stage.line("   a call that was slow, and its hedge at another replica", Tone.QUIET)
        stage.waterfall(won[len(won) // 2].report)
    stage.line(f"   {f'{CALLS} calls each':<20}{'median':>10}{'p99':>10}{'slowest':>10}", Tone.QUIET)
    for name, answers in (("policy none", plain), ("hedged", hedged)):
        stage.line(f"   {name:<20}" + "".join(f"{time(_took(answers, at)):>10}" for at in (50, 99, 100)))

    before, now = _took(plain, 99), _took(hedged, 99)
    told = f"{time(before)} → {time(now)}, which is {ratio(now / before)} of it"
    stage.true("p99, less than half of what it was", now < 0.5 * before, told)
    extra = len(tries(every)) - len(every)
    told = (
        f"{extra} for {len(every)} calls: {extra / len(every) * 100:.1f} %; {decided(every, 'hedge_denied')} more were denied"
    )
    stage.true(f"calls that hedges added, at most {CAP * 100:.0f} %", 0 < extra <= CAP * len(every), told)
    beaten = [a for answer in won for a in answer.report["tax_id"].attempts if not a.won]
    cut = all(a.cancelled for a in beaten)
    stage.true("hedges that won; the slow call was cancelled each time", bool(won) and cut, f"{len(won)} of {_hedges(hedged)}")
    wrong = sum(bool(answer.status) or not answer.report.complete for answer in [*plain, *every])
    stage.same("answers that were not whole", wrong, 0)


def _took(answers: list[Answer], percent: int) -> int:
    return quantile([answer.took for answer in answers], percent)


def _hedges(answers: list[Answer]) -> int:
    return sum(attempt.kind is AttemptKind.HEDGE for row in rows(answers) for attempt in row.attempts)
