"""The story of one request, top to bottom: route → plan → run → reply."""

from __future__ import annotations

import asyncio

from dispatcher.flow.account import report_of
from dispatcher.flow.ports import Engine, Reply, Watch
from dispatcher.flow.route import route
from dispatcher.flow.run import Run
from dispatcher.flow.statuses import refusal_of
from dispatcher.flow.underway import Underway
from dispatcher.model.deadlines import divide
from dispatcher.model.plan import Catalogue
from dispatcher.model.request import Refusal, Request
from fanmesh.model.fault import Code
from fanmesh.model.values import Malformed


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
