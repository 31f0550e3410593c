"""Whether another attempt may follow a fault: permission is a property of the fault, seen under the worker's policy.

Three answers and not two, because a race has three moves: launch another, launch none but hear those that fly, or stop all.
A fault that is about the request (its argument is wrong) ends the race, for every replica would say the same. One that is about
the replica (it crashed on it) does not: a failing attempt never beats a healthy one in flight.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import Final

from dispatcher.model.policy import Retry
from fanmesh.model.fault import Code, Fault, FaultKind


@unique
class Worth(Enum):
    """What a fault leaves to be done."""

    AGAIN = "again"  # another attempt may end otherwise
    AWAIT = "await"  # no further attempt; what flies may still land
    FATAL = "fatal"  # every other attempt would end alike: cancel the rest


OF_THE_REQUEST: Final = frozenset(
    {
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
)
"""Codes that say something of the request and not of who answered. Source: gRPC A6 (fatal statuses), Linkerd's load biaser."""


OURS: Final = frozenset({FaultKind.CANCELLED, FaultKind.NO_TIME})
"""Kinds with which we end a call ourselves: nobody waits for it any more, so nobody waits for another one."""


def never_sent(fault: Fault) -> bool:
    """Whether nobody can have seen the call: the one fault after which even a write may be tried again."""
    return not fault.sent and fault.code is Code.UNAVAILABLE


def worth(fault: Fault, retry: Retry | None, *, repeatable: bool) -> Worth:
    """What may follow `fault`. `repeatable`: a call that was sent may be made twice. No `retry`: nothing is launched."""
    code = fault.code
    if fault.kind is FaultKind.TOO_LARGE:
        return Worth.FATAL
    if retry is None or fault.kind in OURS or (fault.retry_after is not None and fault.retry_after < 0):
        return Worth.FATAL if code in OF_THE_REQUEST else Worth.AWAIT
    if never_sent(fault):
        return Worth.AGAIN
    if not repeatable:
        return Worth.FATAL
    if fault.kind is FaultKind.LOCAL_TIMEOUT:
        return Worth.AGAIN if retry.on_timeout else Worth.AWAIT
    if code is Code.RESOURCE_EXHAUSTED:
        return Worth.AGAIN if fault.retry_after is not None else Worth.AWAIT
    if code in retry.codes:
        return Worth.AGAIN
    return Worth.FATAL if code in OF_THE_REQUEST else Worth.AWAIT
