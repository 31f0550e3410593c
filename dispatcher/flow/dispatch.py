"""The story of one request, top to bottom: route → plan → run → reply."""

from __future__ import annotations

import asyncio

from dispatcher.flow.account import report_of
from dispatcher.flow.ports import Engine, Reply, Watch
from dispatcher.flow.route import route
from dispatcher.flow.run import Run
from dispatcher.flow.statuses import refusal_of
from dispatcher.model.deadlines import divide
from dispatcher.model.plan import Catalogue
from dispatcher.model.request import Refusal, Request
from fanmesh.model.fault import Code
from fanmesh.model.values import Malformed


class Underway:
    """A request while it runs, for whoever has to know whether it may still be given up."""

    __slots__ = ("run",)

    def __init__(self) -> None:
        self.run: Run | None = None

    def give_up(self) -> bool:
        """End it in this very step, unless a write may have reached a worker; whether it is over.

        To cancel its task is not enough: that comes with the next turn of the loop, and before it a write may leave.
        """
        if self.run is None:
            return True  # nothing has begun
        if self.run.wrote:
            return False
        self.run.abandon()
        return True

    @property
    def end(self) -> int:
        """When it has ended at the latest, in the clock's ns."""
        return 0 if self.run is None else self.run.request.arrived + self.run.deadlines.total


async def dispatch(
    engine: Engine, catalogue: Catalogue, request: Request, watch: Watch | None = None, underway: Underway | None = None
) -> Reply:
    """Answer `request`. Cancelling this coroutine cancels everything it started, but for writes that were sent.

    Never raises for what callers, workers or networks do: how it ended is in the reply. `underway` is told of the run.
    """
    observer = engine.observer
    observer.request_started(request)
    run: Run | None = None
    reply = Reply(None, None, Refusal(Code.INTERNAL, "INTERNAL", "the dispatcher failed"))
    try:
        chosen = route(catalogue, request, observer)
        if isinstance(chosen, Refusal):
            reply = Reply(None, None, chosen)
            return reply
        plan, name = chosen
        deadlines = divide(request.remaining, plan.latency, plan.merge_reserve, request.tightening.latency)
        run = Run(engine, plan, request, deadlines, watch)
        if underway is not None:
            underway.run = run
        verdict, result = await run.ending()
        report = report_of(run, name, catalogue.version, verdict, result, engine.clock.now())
        wrote = run.wrote
        refusal = refusal_of(verdict, result, report.branches, wrote=wrote)
        reply = Reply(result.value if refusal is None else None, report, refusal, wrote)
    except Malformed as malformed:
        reply = Reply(None, None, Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", str(malformed), (("field", "input"),)))
    except asyncio.CancelledError:
        if run is not None and run.verdict is not None:
            report = report_of(run, name, catalogue.version, run.verdict, None, engine.clock.now())
            reply = Reply(None, report, Refusal(Code.CANCELLED, "CALLER_GONE", "the caller cancelled"))
        raise
    finally:
        observer.request_ended(request, reply.report, reply.refusal, engine.clock.now())
        if run is not None:
            if run.plan.completion.predicate is not None:
                for _ in range(run.session.expression_errors):
                    observer.expression_error("predicate")
            run.release()
    return reply
