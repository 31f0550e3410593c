"""What a worker is told of the attempt: whose further attempt it is, if it is anybody's."""

from __future__ import annotations

import pytest

from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.request import Request
from dispatcher.wire.worker_call import metadata_of
from fanmesh.model.states import AttemptKind
from fanmesh.payload import Box

K = AttemptKind
NODE = Node("b", Worker("w", "w:1"))


@pytest.mark.parametrize(
    ("ours", "inherited", "told"),
    [
        (K.FIRST, K.FIRST, "first"),
        (K.PROBE, K.FIRST, "probe"),
        (K.RETRY, K.FIRST, "retry"),
        (K.FIRST, K.HEDGE, "hedge"),
        (K.PROBE, K.HEDGE, "hedge"),
        (K.PROBE, K.RETRY, "retry"),
        (K.RETRY, K.HEDGE, "retry"),
        (K.HEDGE, K.RETRY, "hedge"),
    ],
)
def test_a_further_attempt_of_somebody_stays_one(ours: AttemptKind, inherited: AttemptKind, told: str) -> None:
    """Also as the probe of a breaker here: the dispatcher behind must not hedge what is a hedge."""
    request = Request("r", "p", Box.of(None), 0, inherited=inherited)
    run = BranchRun(request, Plan("p", (NODE,)), NODE, 0, 1, lambda *_: None)
    assert dict(metadata_of(Attempt(run, 0, ours, 0)))["fanmesh-attempt-kind"] == told
