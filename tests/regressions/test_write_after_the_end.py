"""A call that was about to leave when it turned out that its request was over left all the same, and a write was then done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, ends, ms, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.composition.test_story_lateness import stalls
from tests.kit.plans import plan

POLICIES = {
    "p": {"extends": "standard", "breaker": None},
    "h": {"retry": {}, "hedge": {"after": "20ms"}},
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("effect", "policy"), [("write", "none"), ("write", "p"), ("read", "none"), ("read", "p"), ("read", "h")]
)
def test_nothing_leaves_once_the_request_is_over(effect: str, policy: str, streams: bool) -> None:  # noqa: FBT001  (a table)
    """`w` waits for its place until 110 ms, for the loop is late; the plan's soft timeout was at 100 ms, and ends it first."""
    worker = {"effect": effect, "policy": policy, "limit": {"in_flight": 1}}
    soft: dict[str, Any] = {"complete": {"soft_timeout": "100ms"}}
    config = plan("r w", policies=POLICIES, workers={"w": worker}, streaming=["w"] if streams else [], **soft)

    async def main() -> None:
        lab = Lab(config)
        lab.worker("r").plays(ends(1))
        lab.worker("w").plays(stalls(ends(2), at=ms(90), length=ms(20)))
        lab.worker("w").replicas(2)
        first = asyncio.ensure_future(lab.dispatch("p"))
        await virtual_sleep(ms(1))
        r = await lab.dispatch("p")
        row = r.report["w"]
        assert (r.code, r.report.completed_by) == (Code.OK, CompletedBy.SOFT_TIMEOUT)
        assert (row.state, row.reason, row.started_after) == (BranchState.SKIPPED, BranchReason.SOFT_TIMEOUT, None)
        assert not row.attempts
        await first
        await virtual_sleep(ms(1000))
        assert sum(len(member.calls) for member in lab.worker("w").members) == 1
        assert not lab.reaper.detached
        lab.assert_nothing_left()

    run_virtual(main())
