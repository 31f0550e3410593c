"""A worker's own timeout, in the same turn of the loop as our cancellation, must not hide it: `cancelling` counts both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import BranchReason
from fanmesh.model.values import Value
from fanmesh.testing import Lab, Script, ends, ms
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.plans import plan

MOMENT = 5e-10
"""Seconds: less than the virtual loop tells apart, so a timer that much later fires in the same turn, and after the other."""


class Impatient:
    """Waits with a timeout of its own, and goes on after it, as `asyncio.timeout` in anybody's worker does."""

    def __init__(self, at: float | None) -> None:
        self.at = at
        self.timeout: asyncio.Timeout | None = None
        self.timed_out = False

    async def play(self, _: Value, _take: PartTaker) -> Outcome:
        """Answers after a minute."""
        try:
            async with asyncio.timeout_at(self.at) as self.timeout:
                await virtual_sleep(ms(60_000))
        except TimeoutError:
            self.timed_out = True
        await virtual_sleep(ms(60_000))
        return Success("a minute later")


def answers_and(then: Callable[[], None]) -> Script:
    """Answers after 50 ms, and does something in that instant."""

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(ms(50))
        then()
        return Success(1)

    return Script(play, "answers_and(…)")


@pytest.mark.fanmesh(plan("a b", complete={"until": "first"}))
async def test_the_verdict_cancels_a_worker_whose_own_timeout_has_just_fired(lab: Lab) -> None:
    """The timeout's cancellation is on its way when the request completes: the worker's next step is its last one."""
    worker = Impatient(None)

    def now() -> None:
        assert worker.timeout is not None
        worker.timeout.reschedule(0)  # fires in the next turn, before the answer is noticed

    lab.worker("a").plays(Script(worker.play, "impatient"))
    lab.worker("b").plays(answers_and(now))
    r = await lab.dispatch("p", {})
    assert r.report["a"].reason is BranchReason.COMPLETION_MET
    assert (lab.worker("a").running, lab.worker("a").cancelled) == (0, 1)


HEDGED = {"retry": {}, "hedge": {"after": "20ms", "max_extra_load": 1.0}}


@pytest.mark.fanmesh(plan("a", latency="100s", workers={"a": {"policy": "h"}}, policies={"h": HEDGED}))
async def test_a_loser_whose_own_timeout_has_just_fired_is_cancelled(lab: Lab) -> None:
    """The first attempt answers in the turn in which its hedge times out by itself: the branch does not wait for the hedge."""
    lab.chance(0.0)
    worker = Impatient(ms(50) / ms(1000) + MOMENT)
    lab.worker("a").plays(ends("first", after=ms(50)), Script(worker.play, "impatient"))
    lab.worker("a").replicas(2)
    r = await lab.dispatch("p", {})
    assert r.elapsed == ms(50)
    assert lab.worker("a").members[1].cancelled == 1
