"""When a fallback is asked after a fault: a table over every kind of fault and both effects."""

from __future__ import annotations

import pytest

from dispatcher.policies.fallback import NoFallback, cause, worth
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.times import MS

K, N = FaultKind, NoFallback

READ: dict[FaultKind, NoFallback | None] = {
    K.WORKER_ERROR: None,
    K.LOCAL_TIMEOUT: None,
    K.INVALID_RESPONSE: None,
    K.TOO_LARGE: None,
    K.STREAM_BROKEN: None,
    K.CANCELLED: N.STOPPED,
    K.NO_TIME: None,
    K.BREAKER_OPEN: None,
    K.OVERLOADED: None,
    K.RATE_LIMITED: None,
}
"""After a fault of this kind at a worker that only reads."""


def asked(
    fault: Fault,
    *,
    committed: bool = False,
    arrived: bool = False,
    repeatable: bool = True,
    remaining: int = 100 * MS,
    least: int = 5 * MS,
) -> NoFallback | None:
    """What is decided, of a read with time enough unless said otherwise."""
    return worth(fault, committed=committed, arrived=arrived, repeatable=repeatable, remaining=remaining, least=least)


def test_the_table_has_every_kind() -> None:
    """A new kind of fault needs a row."""
    assert READ.keys() == set(FaultKind)


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize("code", Code)
def test_a_read_is_replaced_whatever_went_wrong_but_for_our_own_stop(kind: FaultKind, code: Code) -> None:
    """Whichever code it has: a bad argument to one worker need not be one to another."""
    assert asked(Fault(kind, code)) is READ[kind]


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize(("sent", "arrived"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_write_is_replaced_only_if_nobody_can_have_seen_it(kind: FaultKind, *, sent: bool, arrived: bool) -> None:
    """Neither the call that failed last nor one before it."""
    expected = READ[kind] or (N.WRITE_SENT if sent or arrived else None)
    assert asked(Fault(kind, Code.UNAVAILABLE, sent=sent), arrived=arrived, repeatable=False) is expected


@pytest.mark.parametrize("kind", FaultKind)
def test_what_may_be_done_twice_is_replaced_like_a_read(kind: FaultKind) -> None:
    """An idempotent write that was sent."""
    assert asked(Fault(kind, Code.UNAVAILABLE, sent=True), arrived=True, repeatable=True) is READ[kind]


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize("repeatable", [True, False])
def test_after_a_part_is_out_nothing_is_replaced(kind: FaultKind, *, repeatable: bool) -> None:
    """Also not what may be done twice."""
    assert asked(Fault(kind, Code.OK), committed=True, repeatable=repeatable) is (READ[kind] or N.COMMITTED)


@pytest.mark.parametrize(("remaining", "expected"), [(5 * MS, None), (5 * MS - 1, N.NO_TIME), (0, N.NO_TIME), (-1, N.NO_TIME)])
def test_it_needs_its_time(remaining: int, expected: NoFallback | None) -> None:
    """Exactly as much as it needs is enough."""
    assert asked(Fault(K.WORKER_ERROR, Code.UNAVAILABLE), remaining=remaining) is expected


def test_why_in_a_word() -> None:
    """A worker's own error by its code, everything else by what it is."""
    words = [cause(Fault(kind, Code.UNAVAILABLE)) for kind in (K.WORKER_ERROR, K.LOCAL_TIMEOUT, K.BREAKER_OPEN, K.TOO_LARGE)]
    assert words == ["UNAVAILABLE", "local_timeout", "breaker_open", "too_large"]
