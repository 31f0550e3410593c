"""Policies under dying, slow, flapping, lying and overloaded replicas: hundreds of seeds, minutes of virtual time each."""

from __future__ import annotations

import pytest

from fanmesh.model.states import AttemptKind, BranchReason
from tests.simulation.policies.run import Tale, simulate

CHUNK = 20
SEEDS = 200
WIDE = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_whatever_happens_to_replicas(first: int) -> None:
    """No load beyond the caps, one honest reply in time, every permit returned, and every endpoint back when it is well."""
    for seed in range(first, first + CHUNK):
        simulate(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5000, 5000 + WIDE))
def test_whatever_happens_under_load(seed: int) -> None:
    """The same with six times as many callers: queues are full, places are short."""
    simulate(seed, 6.0)


def test_everything_happens() -> None:
    """Within twelve seeds every kind of attempt is made, every reason comes about, and every policy decides something."""
    tale = Tale()
    for seed in range(9000, 9012):
        found = simulate(seed)
        tale.kinds.update(found.kinds)
        tale.reasons.update(found.reasons)
        tale.decisions.update(found.decisions)
    assert set(tale.kinds) == set(AttemptKind) - {AttemptKind.SHADOW}
    R = BranchReason  # noqa: N806  (as everywhere)
    expected = {
        *(R.NONE, R.BREAKER_OPEN, R.OVERLOAD, R.RATE_LIMIT, R.SOFT_TIMEOUT, R.HARD_TIMEOUT, R.REQUEST_DEADLINE),
        *(R.NOT_STARTED_NO_TIME, R.WORKER_ERROR, R.COMPLETION_MET, R.CALLER_GONE, R.INVALID_RESPONSE, R.STREAM_BROKEN),
    }
    assert expected <= set(tale.reasons)
    decided = {
        *(("hedge", "slow"), ("retry", "UNAVAILABLE"), ("retry", "RESOURCE_EXHAUSTED"), ("retry", "DEADLINE_EXCEEDED")),
        *(("retry_denied", "budget"), ("hedge_denied", "budget"), ("hedge_denied", "extra_load"), ("probe", "due")),
        *(("probe", "fail_open"), ("breaker_open", "consecutive"), ("breaker_open", "rate"), ("breaker_open", "probe_failed")),
        *(("breaker_closed", "recovered"), ("refused", "breaker_open"), ("refused", "queue_full"), ("refused", "overloaded")),
        ("refused", "rate_limited"),
    }
    assert decided <= set(tale.decisions), decided - set(tale.decisions)
