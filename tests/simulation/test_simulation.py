"""The whole dispatcher under random plans, workers and callers: hundreds of seeds, minutes of virtual time."""

from __future__ import annotations

from collections import Counter

import pytest

from fanmesh.model.states import BranchReason, CompletedBy
from tests.simulation.run import simulate

CHUNK = 25
SEEDS = 350


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_whatever_happens(first: int) -> None:
    """One reply per request and never after T, nothing left running, an account that adds up, a verdict as designed."""
    for seed in range(first, first + CHUNK):
        simulate(seed)


def test_it_happens_at_all() -> None:
    """Within eighty seeds every rule completes some request, and every ending that can be by now comes about."""
    rules: Counter[CompletedBy] = Counter()
    reasons: Counter[BranchReason] = Counter()
    for seed in range(1000, 1080):
        for story in simulate(seed):
            for reply in story.replies:
                rules[reply.report.completed_by] += 1
                reasons.update(row.reason for row in reply.report.branches)
    # who has gone gets no reply, and nothing asks for the end of all at the first failure yet
    assert set(rules) == set(CompletedBy) - {CompletedBy.BRANCH_FAILURE, CompletedBy.CALLER_GONE}
    R = BranchReason  # noqa: N806  (as everywhere)
    not_yet = {R.ROLLOUT, R.BUDGET, R.BREAKER_OPEN, R.OVERLOAD, R.RATE_LIMIT}
    assert set(reasons) == set(R) - not_yet - {R.CALLER_GONE}
