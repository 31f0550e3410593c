"""Many calls instead of one: a few callers, each of whom waits for its answer before it asks again.

A closed loop, because the claims are about what becomes of calls and not about how many there can be: a busy machine makes it
slower and changes nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fanmesh.model.report import AttemptReport, BranchReport
from fanmesh.runtime.clock import sleep
from fanmesh.runtime.traceparent import Ids, render
from sample_workers.demo.world import Answer, World

TAX_ID: Final = "tax_id"
"""The branch that all claims about many calls are about."""


async def load(
    world: World, plan: str, turns: Iterable[object], *, callers: int = 1, pause: int = 0, traced: bool = False
) -> list[Answer]:
    """The answers to one call for each of `turns`, in the order of their coming. `pause` ns after each call.

    Unless `traced` nobody records them: thousands of spans would slow down what is measured.
    """
    answers: list[Answer] = []
    left = iter(turns)  # shared: whoever is free takes the next

    async def caller() -> None:
        for _ in left:
            answers.append(await world.call(world.embedded, plan, metadata=None if traced else unrecorded()))
            await sleep(pause)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return answers


def unrecorded() -> dict[str, str]:
    """Headers that make a call part of a new trace that is not sampled."""
    return {"traceparent": render(Ids(secrets.randbits(128) | 1, secrets.randbits(64) | 1, flags=0))}


def until(done: asyncio.Event) -> Iterator[object]:
    """Turns without end, until `done` is set."""
    return iter(done.is_set, True)


def rows(answers: Iterable[Answer]) -> list[BranchReport]:
    """What the reports say of tax_id."""
    return [answer.report[TAX_ID] for answer in answers]


def tries(answers: Iterable[Answer]) -> list[AttemptReport]:
    """Every call of tax_id's worker that was really made."""
    return [attempt for row in rows(answers) for attempt in row.attempts]


def decided(answers: Iterable[Answer], what: str, why: str = "") -> int:
    """How often a policy decided that; `why`: for that reason only."""
    found = (decision for row in rows(answers) for decision in row.decisions if decision.what == what)
    return sum(not why or decision.why == why for decision in found)


def stood_in(answers: Sequence[Answer]) -> int:
    """Answers without an error, in which phone's own and tax_id's default are."""
    return sum(
        not answer.status and bool(answer.value["phone"]) and answer.value[TAX_ID] == {"country": "unknown"}
        for answer in answers
    )
