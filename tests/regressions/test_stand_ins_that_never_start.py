"""`on_branch_failure: stop_new`, and a branch whose fallback is one that is not started any more: nobody waits for that."""

from __future__ import annotations

from typing import Any

import pytest

from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, ends, fails, ms

S, R = BranchState, BranchReason


def conf(branches: dict[str, Any]) -> dict[str, Any]:
    """A plan of these branches, which goes on no further when one has failed."""
    return {
        "version": 1,
        "default_policy": "none",
        "workers": {name: {"target": f"{name}:1", "effect": "read"} for name in branches},
        "plans": {"p": {"budget": {"latency": "10s"}, "on_branch_failure": "stop_new", "branches": branches}},
    }


WAITS = {"a": {"fallback": {"branch": "b"}}, "c": {}, "d": {}, "b": {"input": {"x": "${branches.c.output}"}}}


@pytest.mark.parametrize(("failing", "asking"), [(20, 50), (50, 20)])
@pytest.mark.fanmesh(conf(WAITS))
async def test_a_branch_that_has_not_begun(lab: Lab, failing: int, asking: int) -> None:
    """Whether the plan stops before or after the branch is asked for, the request is over when what runs has ended."""
    lab.worker("a").plays(fails(after=ms(asking)))
    lab.worker("b").plays(ends("b"))
    lab.worker("c").plays(ends("c", after=ms(60)))
    lab.worker("d").plays(fails("INTERNAL", after=ms(failing)))
    result = await lab.dispatch("p", {})
    assert (result.report.completed_by, result.elapsed) == (CompletedBy.BRANCH_FAILURE, ms(60))
    a, b = result.report.branches[0], result.report.branches[3]
    assert (a.state, a.reason, b.state, b.reason) == (S.FAILED, R.WORKER_ERROR, S.SKIPPED, R.COMPLETION_MET)


LISTED = {
    "a": {"for_each": {"items": "${input.items}", "max_concurrency": 1}},
    "d": {},
    "b": {"fallback": {"branch": "a"}},
}


@pytest.mark.fanmesh(conf(LISTED))
async def test_a_list_that_is_not_finished(lab: Lab) -> None:
    """Its last items are not called any more, so it will not end either."""
    lab.worker("a").plays(ends(1, after=ms(30)))
    lab.worker("d").plays(fails("INTERNAL", after=ms(40)))
    lab.worker("b").plays(fails("INTERNAL", after=ms(50)))
    result = await lab.dispatch("p", {"items": [1, 2, 3, 4]})
    assert (result.report.completed_by, result.elapsed) == (CompletedBy.BRANCH_FAILURE, ms(60))
    assert len(lab.worker("a").calls) == 2


@pytest.mark.fanmesh(conf(WAITS))
async def test_one_that_runs_is_waited_for(lab: Lab) -> None:
    """It had begun when the plan stopped, and stands in as ever."""
    lab.worker("a").plays(fails(after=ms(50)))
    lab.worker("b").plays(ends("b", after=ms(100)))
    lab.worker("c").plays(ends("c", after=ms(10)))
    lab.worker("d").plays(fails("INTERNAL", after=ms(20)))
    result = await lab.dispatch("p", {})
    assert (result.report.branches[0].state, result.elapsed) == (S.FELL_BACK, ms(110))
