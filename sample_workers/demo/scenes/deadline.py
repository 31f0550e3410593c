"""Claim 6: the caller's deadline bounds everything below it, and what cannot be had within it is not pretended."""

from __future__ import annotations

from fanmesh.cli.bars import time
from fanmesh.cli.tones import Tone
from fanmesh.model.times import MS
from fanmesh.reporting import nanoseconds
from fanmesh.result import DispatchFailed
from sample_workers.demo import cast, plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import CONTACT, World

CALLER = 0.2
"""Seconds."""
ROUNDING = 2 * MS
"""gRPC sends the time that is left in whole units, rounded up, and the receiver's clock starts when it reads them."""
CELL = 8


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    plan, caller = await _limits(world, None), await _limits(world, CALLER)
    stage.line(f"   {'':<15}" + "".join(f"{name:>{CELL}}" for name in plan), Tone.QUIET)
    for who, limits in (("the plan alone", plan), ("with 200 ms", caller)):
        stage.line(f"   {who:<15}" + "".join(f"{limit // MS:>{CELL - 2}}ms" for limit in limits.values()))
    stage.true("T is what the caller left", caller["T"] <= 200 * MS + ROUNDING < plan["T"], f"{caller['T'] / MS:.1f} ms")
    shrunk = [name for name in plan if caller[name] < plan[name]]
    stage.same(f"limits that shrank, of {len(plan)}", len(shrunk), len(plan))
    inside = all(caller[branch] <= caller["stop"] < caller["T"] for branch in cast.BRANCHES)
    stage.true("every branch ends by stop, and stop is before T", inside, time(caller["stop"]))

    try:
        answer = await world.call(world.embedded, plans.LATE, timeout=CALLER)
    except DispatchFailed as failed:  # this machine is so busy that not even a refusal came in time
        stage.same("nothing came in time, and the client says so", failed.code.name, "DEADLINE_EXCEEDED")
        return
    report = answer.report
    stage.waterfall(report, answer.status or None)
    if answer.status:
        stage.same("too little came in time, and the call says so", answer.status, "DEADLINE_EXCEEDED DEADLINE")
    else:
        stage.true("answered, and says what is missing", not report.complete and "place" in report.missing, report.missing)
    stage.true("within the caller's deadline", report.elapsed < CALLER * 1000 * MS, f"{time(report.elapsed)} of 200 ms")
    asked = {branch.branch for branch in report.branches if branch.endpoint}
    left = [int(span.attributes["fanmesh.remaining_ms"]) for span in (await world.worker_spans(report, asked)).values()]
    stage.true(
        "the deadline reached the workers",
        bool(left) and max(left) <= 200,
        f"{len(left)} saw {min(left)} to {max(left)} ms left",
    )


async def _limits(world: World, timeout: float | None) -> dict[str, int]:  # noqa: ASYNC109  (gRPC's deadline: it travels)
    """When everything ends at the latest, in ns, as Explain says it."""
    told = await world.embedded.explain(plans.LATE, world.contacts[CONTACT], timeout=timeout)
    out = {"T": nanoseconds(told.total), "stop": nanoseconds(told.stop), "soft": nanoseconds(told.soft_timeout)}
    return out | {node.branch: nanoseconds(node.deadline) for node in told.nodes}
