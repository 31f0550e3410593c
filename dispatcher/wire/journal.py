"""The observer that writes: one line for each request that fails, with the ids to find its trace and its report.

Requests that succeed, whole or in part, are counted and traced; a line for each of them would be the most expensive thing in
the process, and nobody reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from dispatcher.model.request import Refusal, Request
from dispatcher.wire.observers import Nobody
from fanmesh.model.fault import Code
from fanmesh.model.report import Report
from fanmesh.model.times import MS
from fanmesh.runtime.logs import of_request

CALLERS_FAULT = frozenset({Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.CANCELLED, Code.FAILED_PRECONDITION})


class Journal(Nobody):
    """Writes refusals to `log`: what the caller did wrong at level info, what failed here at level warning.

    `draining`: whether the process stops. Then a call may have been cut off at the end of the drain, and is not only its
    caller's affair: both reach a handler as one and the same cancellation.
    """

    def __init__(self, log: FilteringBoundLogger, draining: Callable[[], bool] = lambda: False) -> None:
        self._log = log
        self._draining = draining

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """Write the line."""
        if refusal is None:
            return
        trace_id = request.trace.trace_id if request.trace.sampled else ""
        log = of_request(self._log, request.id, trace_id)
        detail = refusal.message
        write = log.info if refusal.code in CALLERS_FAULT else log.warning
        if refusal.reason == "CALLER_GONE" and self._draining():
            write, detail = log.warning, "cut off at the end of the drain, or its caller has gone"
        write(
            "request failed",
            plan=report.plan if report is not None else request.plan,
            code=refusal.code.name,
            reason=refusal.reason,
            detail=detail,
            elapsed_ms=round((now - request.arrived) / MS, 3),
        )
