"""Claim 13: engines that cannot compare their scores still make one ranking, which is there from the first answer on."""

from __future__ import annotations

from typing import Any

from fanmesh.cli.bars import ratio, time
from fanmesh.cli.tones import Tone
from fanmesh.model.states import EmitMode
from fanmesh.result import Final, Result, Snapshot
from fanmesh.runtime.clock import now_ns
from sample_workers.demo import cast, plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import World

QUESTION = "Bowed legs"
RIGHT = "HP:0002979"
"""Bowing of the legs: no engine has it first."""
BAR = 24


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    asked = {"q": QUESTION}
    snapshots: list[Snapshot] = []
    done: Result[Any] | None = None
    sent = now_ns()
    stage.line(f"   {QUESTION!r}", Tone.QUIET)
    async for update in world.embedded.stream(plans.FEDERATED, asked, emit=EmitMode.SNAPSHOT):
        match update:
            case Snapshot(value, coverage):
                snapshots.append(update)
                bar = "█" * round(coverage.ratio * BAR)
                first = value[0]["hit"]["title"] if value else "…"
                stage.line(f"   {time(now_ns() - sent):>7}  {bar:<{BAR}} {ratio(coverage.ratio):<5} 1st: {first}")
            case Final(result):
                done = result
    if done is None:
        stage.true("the stream ends with its result", False, "it did not")
        return
    stage.waterfall(done.report)
    alone = (await world.call(world.embedded, plans.COMPARED, asked)).value
    firsts = {name: alone[name]["hits"][0] for name in cast.ENGINES}
    for name, hit in firsts.items():
        stage.line(f"   {name:<8} alone, 1st: {hit['title']}", Tone.QUIET)
    ratios = [snapshot.coverage.ratio for snapshot in snapshots]
    found = [snapshot for snapshot in snapshots if snapshot.value]
    different = sum(snapshot.value not in [other.value for other in found[:index]] for index, snapshot in enumerate(found))
    stage.same("complete", done.report.complete, expected=True)
    stage.true("rankings that differ, one with each engine", different == len(firsts), f"{different} of {len(found)}")
    stage.true("coverage never falls", ratios == sorted(ratios), tuple(map(ratio, ratios)))
    stage.same("engines that have the right finding first", [name for name in firsts if firsts[name]["id"] == RIGHT], [])
    stage.same("the fusion has", f"{done.value[0]['key']} {done.value[0]['hit']['title']}", f"{RIGHT} Bowing of the legs")
    stage.true(
        "it says how each engine ranked it", done.value[0]["ranks"].keys() == firsts.keys(), _told(done.value[0]["ranks"])
    )
    last = snapshots[-1].value if snapshots else None
    stage.true("the last snapshot is the result", last == done.value, "equal" if last == done.value else "not")


def _told(ranks: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{name} {rank}" for name, rank in ranks.items())
