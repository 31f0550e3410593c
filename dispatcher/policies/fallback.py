"""Whether a fallback is asked after a fault: nearly always, and here is when not.

Wider than what may be retried (`worth.py`). A retry asks the same worker again, so it needs a fault that may pass; a fallback
asks somebody else, who need not mind a bad argument, an open breaker, or a worker that wants no further calls. What stays is
what nobody else can change: that we stopped, that a part is out, that a write may have been done, that the time is over.
"""

from __future__ import annotations

from enum import Enum, unique

from fanmesh.model.fault import Fault, FaultKind


@unique
class NoFallback(Enum):
    """Why none is asked. The values are label values of metrics and words of reports."""

    STOPPED = "stopped"  # we ended the call ourselves: nobody waits for the branch
    COMMITTED = "committed"  # parts of the branch are in the result, and cannot be taken back
    WRITE_SENT = "write_sent"  # the write may have been done, and another worker would do it again
    NO_TIME = "no_time"  # too little of the branch's time is left


def worth(fault: Fault, *, committed: bool, arrived: bool, repeatable: bool, remaining: int, least: int) -> NoFallback | None:
    """Why no fallback is asked after `fault`; None = one is.

    `committed`: parts of the branch have been taken and not held back. `arrived`: a worker may have seen one of its calls;
    `repeatable`: that does not matter, for what was asked, and what is to be asked now, may be done twice. `remaining`: ns
    until the branch must have ended; `least`: those that the fallback needs.
    """
    if fault.kind is FaultKind.CANCELLED:
        return NoFallback.STOPPED
    if committed:
        return NoFallback.COMMITTED
    if (arrived or fault.sent) and not repeatable:
        return NoFallback.WRITE_SENT
    return NoFallback.NO_TIME if remaining < least else None


def cause(fault: Fault) -> str:
    """Why a fallback is asked, in a word: the code that a worker gave, or what went wrong on our side."""
    return fault.code.name if fault.kind is FaultKind.WORKER_ERROR else fault.kind.value
