"""What a fault leaves to be done: every code under every circumstance that matters."""

from __future__ import annotations

import pytest

from dispatcher.model.policy import Retry
from dispatcher.policies.worth import OF_THE_REQUEST, Worth, never_sent, worth
from fanmesh.model.fault import Code, Fault, FaultKind

K, W = FaultKind, Worth
RETRY = Retry(codes=frozenset({Code.UNAVAILABLE, Code.INTERNAL}))
FAULTS = [code for code in Code if code is not Code.OK]
ABOUT_THE_REQUEST = {
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.PERMISSION_DENIED,
    Code.FAILED_PRECONDITION,
    Code.ABORTED,
    Code.OUT_OF_RANGE,
    Code.UNIMPLEMENTED,
    Code.UNAUTHENTICATED,
}


def fault(code: Code, kind: FaultKind = K.WORKER_ERROR, *, sent: bool = True, after: int | None = None) -> Fault:
    """A fault."""
    return Fault(kind, code, sent=sent, retry_after=after)


def resting(code: Code) -> Worth:
    """What a code leaves where nothing may be launched."""
    return W.FATAL if code in ABOUT_THE_REQUEST else W.AWAIT


def test_codes_about_the_request() -> None:
    """Every replica would say the same: exactly these codes."""
    assert OF_THE_REQUEST == ABOUT_THE_REQUEST


@pytest.mark.parametrize("code", FAULTS)
def test_a_read(code: Code) -> None:
    """A repeatable call: again for the configured codes, fatal for what is about the request, else what flies may land."""
    expected = W.AGAIN if code in RETRY.codes else resting(code)
    assert worth(fault(code), RETRY, repeatable=True) is expected


@pytest.mark.parametrize("code", FAULTS)
def test_the_configured_codes_win(code: Code) -> None:
    """Whoever lists a code wants it retried, even one about the request; RESOURCE_EXHAUSTED needs pushback all the same."""
    expected = W.AWAIT if code is Code.RESOURCE_EXHAUSTED else W.AGAIN
    assert worth(fault(code), Retry(codes=frozenset({code})), repeatable=True) is expected


def test_what_we_stop_is_not_a_worker_that_said_cancelled() -> None:
    """By default a worker's CANCELLED is tried again (decision 0016); what we have cancelled, or have no time for, is not."""
    assert worth(fault(Code.CANCELLED), Retry(), repeatable=True) is W.AGAIN
    assert worth(fault(Code.CANCELLED, K.CANCELLED), Retry(), repeatable=True) is W.AWAIT
    assert worth(fault(Code.UNAVAILABLE, K.NO_TIME), Retry(), repeatable=True) is W.AWAIT


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("after", [None, 0, 100])
@pytest.mark.parametrize("kind", [K.WORKER_ERROR, K.LOCAL_TIMEOUT, K.STREAM_BROKEN, K.INVALID_RESPONSE])
def test_a_write_that_was_sent(code: Code, after: int | None, kind: FaultKind) -> None:
    """A write that may have arrived is never made again, whatever its fault says."""
    assert worth(fault(code, kind, after=after), RETRY, repeatable=False) is W.FATAL


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("repeatable", [True, False])
def test_never_sent(code: Code, repeatable: bool) -> None:  # noqa: FBT001  (a table)
    """Only UNAVAILABLE before the send says that nobody saw the call: a write is tried again then, whatever `codes` say."""
    one = fault(code, sent=False)
    assert never_sent(one) is (code is Code.UNAVAILABLE)
    if code is Code.UNAVAILABLE:
        assert worth(one, Retry(codes=frozenset()), repeatable=repeatable) is W.AGAIN
    elif not repeatable:
        assert worth(one, RETRY, repeatable=False) is W.FATAL


@pytest.mark.parametrize(("after", "expected"), [(None, W.AWAIT), (0, W.AGAIN), (1, W.AGAIN), (-1, W.AWAIT)])
def test_resource_exhausted_needs_pushback(after: int | None, expected: Worth) -> None:
    """A worker over its limit is called again only if it has said when."""
    assert worth(fault(Code.RESOURCE_EXHAUSTED, after=after), RETRY, repeatable=True) is expected


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_negative_pushback(code: Code, repeatable: bool, sent: bool) -> None:  # noqa: FBT001  (a table)
    """Nothing more is launched, by nobody; what flies may land, unless the fault is about the request."""
    assert worth(fault(code, sent=sent, after=-1), RETRY, repeatable=repeatable) is resting(code)


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("after", [None, 0, -1])
def test_without_a_retry_policy(code: Code, after: int | None) -> None:
    """A hedge alone: nothing is launched after a fault."""
    assert worth(fault(code, after=after), None, repeatable=True) is resting(code)


@pytest.mark.parametrize(("on_timeout", "expected"), [(True, W.AGAIN), (False, W.AWAIT)])
def test_an_attempt_whose_own_time_ran_out(on_timeout: bool, expected: Worth) -> None:  # noqa: FBT001  (a table)
    """LOCAL_TIMEOUT goes by `on_timeout` and not by the codes, DEADLINE_EXCEEDED of the worker by the codes."""
    retry = Retry(on_timeout=on_timeout)
    assert worth(fault(Code.DEADLINE_EXCEEDED, K.LOCAL_TIMEOUT), retry, repeatable=True) is expected
    assert worth(fault(Code.DEADLINE_EXCEEDED), retry, repeatable=True) is W.AWAIT


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (K.TOO_LARGE, Code.RESOURCE_EXHAUSTED, W.FATAL),  # the next answer would be as large
        (K.NO_TIME, Code.DEADLINE_EXCEEDED, W.AWAIT),
        (K.NO_TIME, Code.UNAVAILABLE, W.AWAIT),
    ],
)
def test_faults_that_no_attempt_can_mend(kind: FaultKind, code: Code, expected: Worth, repeatable: bool) -> None:  # noqa: FBT001  (a table)
    """Our own limits on size and time hold for the next attempt as well."""
    assert worth(fault(code, kind, after=None), RETRY, repeatable=repeatable) is expected


@pytest.mark.parametrize("kind", [K.INVALID_RESPONSE, K.STREAM_BROKEN])
def test_other_kinds_go_by_their_code(kind: FaultKind) -> None:
    """A broken stream or an unreadable answer is retried if its code is."""
    assert worth(fault(Code.INTERNAL, kind), RETRY, repeatable=True) is W.AGAIN
    assert worth(fault(Code.INTERNAL, kind), Retry(), repeatable=True) is W.AWAIT
