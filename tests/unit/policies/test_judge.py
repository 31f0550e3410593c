"""What an outcome says about its endpoint."""

import pytest

from dispatcher.policies.breaker import Judgement, judge
from fanmesh.model.fault import REFUSALS, Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success

J = Judgement

KINDS_BY_CODE = [FaultKind.WORKER_ERROR, FaultKind.LOCAL_TIMEOUT, FaultKind.INVALID_RESPONSE, FaultKind.STREAM_BROKEN]
SAYS = {
    Code.UNKNOWN: J.FAILURE,
    Code.INTERNAL: J.FAILURE,
    Code.UNAVAILABLE: J.FAILURE,
    Code.DATA_LOSS: J.FAILURE,
    Code.RESOURCE_EXHAUSTED: J.LIMITED,
    Code.NOT_FOUND: J.ANSWERED,
    Code.ALREADY_EXISTS: J.ANSWERED,
    Code.FAILED_PRECONDITION: J.ANSWERED,
    Code.ABORTED: J.ANSWERED,
    Code.OUT_OF_RANGE: J.ANSWERED,
}


@pytest.mark.parametrize("fair", [True, False])
@pytest.mark.parametrize("code", Code)
def test_what_a_fault_says(code: Code, *, fair: bool) -> None:
    """UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS, fair DEADLINE_EXCEEDED fail; RESOURCE_EXHAUSTED: limited; data: answered."""
    expected = SAYS.get(code, J.NEUTRAL)
    if code is Code.DEADLINE_EXCEEDED and fair:
        expected = J.FAILURE
    for kind in FaultKind:
        for sent in (True, False):
            judgement = judge(Fault(kind, code, sent=sent), fair=fair)
            ours = kind is FaultKind.WORKER_ERROR and not sent and code is not Code.UNAVAILABLE  # refused on this side
            assert judgement is (expected if kind in KINDS_BY_CODE and not ours else J.NEUTRAL), kind


@pytest.mark.parametrize("fair", [True, False])
@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (None, J.NEUTRAL),
        (Success({"valid": True}), J.SUCCESS),
        (Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False), J.FAILURE),
        (Fault(FaultKind.TOO_LARGE, Code.RESOURCE_EXHAUSTED), J.NEUTRAL),
        (Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL), J.FAILURE),
        (Fault(FaultKind.INVALID_RESPONSE, Code.INTERNAL, origin=Origin.LOCAL), J.NEUTRAL),
        (Fault(FaultKind.NO_TIME, Code.DEADLINE_EXCEEDED, sent=False), J.NEUTRAL),
        *[(Fault(kind, Code.UNAVAILABLE, sent=False), J.NEUTRAL) for kind in sorted(REFUSALS, key=lambda kind: kind.value)],
    ],
)
def test_what_an_outcome_says(outcome: Outcome | None, expected: Judgement, *, fair: bool) -> None:
    """An answer is a success, our cancellation and our refusals say nothing, a dead address is a failure."""
    assert judge(outcome, fair=fair) is expected
