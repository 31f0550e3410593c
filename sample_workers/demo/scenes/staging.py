"""Claim 13: a branch that needs another's answer starts when it is there, and a dear one only if the cheap one will not do.

How soon after it is printed and not judged: on a busy machine it is as long as the machine is busy. What is judged is what
cannot be otherwise: who was sent what, after whom, and who was not asked.
"""

from __future__ import annotations

import asyncio

from fanmesh.cli.bars import time
from fanmesh.cli.drawing.tree import tree
from fanmesh.cli.say import WIDTH
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason
from sample_workers.demo import plans
from sample_workers.demo.stage import Stage
from sample_workers.demo.world import Answer, World

POLISH = "c23"
"""Claims Spain, on Poland's national holiday; phone, IP address and place are Polish."""
SURE, UNSURE = "c01", {"c21", "c27", "c28"}
"""One whose number says its country; those whose number is in national form, cannot be read, and cannot exist."""


async def play(world: World, stage: Stage) -> None:
    """Show it."""
    told = await world.embedded.explain(plans.STAGED, world.contacts[POLISH])
    for line in tree(told.nodes, WIDTH - 3).splitlines():
        stage.line(f"   {line}")
    answer = await world.call(world.embedded, plans.STAGED, POLISH)
    stage.waterfall(answer.report, answer.status or None)
    first, second, aside = (answer.report[branch] for branch in ("ip", "holiday", "place"))
    gap = _start(second) - _end(first)
    seen = f"{time(gap)} later, {time(max(0, _end(aside) - _start(second)))} before place had"
    stage.true("holiday started when ip had ended", gap >= 0, seen)
    holiday = answer.value["holiday"]["holiday"]
    stage.same(
        "it was asked about the country that ip said",
        (holiday["country"], holiday["name"]),
        ("PL", "National Independence Day"),
    )

    contacts = [name for name, contact in world.contacts.items() if "phone" in contact and "lat" in contact]
    answers = dict(zip(contacts, await asyncio.gather(*(_located(world, name) for name in contacts)), strict=True))
    stage.waterfall(answers[SURE].report)
    stage.waterfall(answers["c21"].report)
    asked = {name for name, found in answers.items() if found.report["place"].started_after is not None}
    unsure = {name for name, found in answers.items() if not _enough(found.report["phone"])}
    stage.true(
        "place is asked where phone is not sure, and only there", asked == unsure, f"{len(asked)} of {len(contacts)} contacts"
    )
    stage.true("among them", asked >= UNSURE and SURE not in asked, UNSURE)
    early = [name for name in asked if _start(answers[name].report["place"]) < _end(answers[name].report["phone"])]
    stage.same("places asked before phone had ended", tuple(early), ())
    spared = [answers[name].report["place"].reason for name in contacts if name not in asked]
    stage.same(f"the other {len(spared)} were spared it", {reason.name for reason in spared}, {BranchReason.CONDITION.name})


async def _located(world: World, contact: str) -> Answer:
    return await world.call(world.embedded, plans.ESCALATES, contact)


def _enough(phone: BranchReport) -> bool:
    """Whether the first step was good enough, as the plan has it."""
    return phone.reason is BranchReason.NONE and (phone.confidence or 0.0) >= plans.ENOUGH


def _start(branch: BranchReport) -> int:
    return branch.started_after or 0


def _end(branch: BranchReport) -> int:
    return _start(branch) + (branch.elapsed or 0)
