"""Claim 7: a caller need not wait for the last worker to use what the first ones said."""

from __future__ import annotations

from typing import Any

from fanmesh.cli.bars import ratio, time
from fanmesh.model.states import EmitMode
from fanmesh.result import Final, Result, Snapshot
from fanmesh.runtime.clock import now_ns
from sample_workers.demo import plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import CONTACT, World

BAR = 24


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    snapshots: list[Snapshot] = []
    done: Result[Any] | None = None
    sent = now_ns()
    async for update in world.embedded.stream(plans.PACED, world.contacts[CONTACT], emit=EmitMode.SNAPSHOT):
        match update:
            case Snapshot(value, coverage):
                new = [key for key in value or {} if not snapshots or key not in (snapshots[-1].value or {})]
                bar = "█" * round(coverage.ratio * BAR)
                stage.line(f"   {time(now_ns() - sent):>7}  {bar:<{BAR}} {ratio(coverage.ratio)}  + {', '.join(new) or '…'}")
                snapshots.append(update)
            case Final(result):
                done = result
    if done is None:
        stage.true("the stream ends with its result", False, "it did not")
        return
    stage.waterfall(done.report)
    values = [snapshot.value for snapshot in snapshots]
    different = sum(value not in values[:index] for index, value in enumerate(values))
    ratios = [snapshot.coverage.ratio for snapshot in snapshots]
    stage.true("snapshots that differ (at least 3)", different >= 3, f"{different} of {len(values)}")
    stage.true("coverage never falls", ratios == sorted(ratios), tuple(map(ratio, ratios)))
    stage.true("the last snapshot is the result", bool(values) and values[-1] == done.value, "equal" if values else "none came")
    stage.true(
        "the result is that of claim 1", done.value == world.reference, "equal" if done.value == world.reference else "not"
    )
