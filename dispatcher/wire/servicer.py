"""DispatcherService: bytes in, the story of a request, bytes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Final

from dispatcher.model.request import Refusal, Trace
from dispatcher.wire.answering import Serving, accept, answer, result_kind, watch
from dispatcher.wire.deltas import Deltas
from dispatcher.wire.inbound import Unacceptable, duration, emit_of, parse_dispatch, parse_explain, parse_stream, request_of
from dispatcher.wire.outbound import Finished, error_of, in_message, over, refused, trailers_of, written
from dispatcher.wire.view import Seen, View
from fanmesh.model.report import BranchReport
from fanmesh.model.states import EmitMode
from fanmesh.payload import Kind
from fanmesh.reporting import to_branch, to_coverage
from fanmesh.transport.port import Routes, ServerCall
from fanmesh.v1 import dispatcher_pb2

SERVICE: Final = "fanmesh.v1.DispatcherService"
DISPATCH: Final = f"{SERVICE}/Dispatch"
STREAM: Final = f"{SERVICE}/DispatchStream"


class DispatcherService:
    """The three methods of the service."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def routes(self) -> Routes:
        """What a server answers with this service."""
        return Routes(
            unary={f"/{DISPATCH}": self.dispatch, f"/{SERVICE}/Explain": self.explain},
            stream={f"/{STREAM}": self.dispatch_stream},
        )

    async def dispatch(self, raw: bytes, call: ServerCall) -> bytes:
        """Answer once."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        message = None
        with serving.door.passage(call) as passage:
            try:
                message = parse_dispatch(raw)
                asked = accept(serving, message, call, call.metadata, arrived, passage.shed, method=DISPATCH)
            except Unacceptable as wrong:
                finished = refused(wrong.refusal)
            else:
                finished = await answer(serving, asked)
        if finished.refusal is not None and not (message is not None and message.failure_in_message):
            raise error_of(finished)
        call.set_trailers(trailers_of(finished))
        return in_message(finished).SerializeToString()

    async def dispatch_stream(self, raw: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        """Answer while the fan-out runs; the last message holds the report, also on failure."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        message, seq = None, 0
        with serving.door.passage(call) as passage:
            try:
                outer = parse_stream(raw)
                message = outer.request
                emit, pause = emit_of(outer), duration("min_interval", outer.min_interval)
                view = View(emit, pause, serving.engine.clock)
                shed = passage.shed
                asked = accept(serving, message, call, call.metadata, arrived, shed, view.wants, pause, method=STREAM)
            except Unacceptable as wrong:
                finished = refused(wrong.refusal)
            else:
                kind, limit = result_kind(message), serving.limits.reply
                shows = Deltas(kind, limit, view).shown if emit is EmitMode.DELTA else partial(snapshot, kind, limit)
                async with aclosing(watch(serving, asked, view, passage)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            finished = event
                        elif (shown := shows(event)) is not None:
                            seq += 1
                            shown.seq = seq
                            yield shown.SerializeToString()
        last = dispatcher_pb2.DispatchStreamResponse(seq=seq + 1, final=in_message(finished))
        if finished.response.HasField("report"):
            last.coverage.CopyFrom(finished.response.report.coverage)
        call.set_trailers(trailers_of(finished))
        yield last.SerializeToString()
        if finished.refusal is not None and not (message is not None and message.failure_in_message):
            raise error_of(finished)

    async def explain(self, raw: bytes, call: ServerCall) -> bytes:
        """Say what would run. Answered in any state: it calls nothing."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        catalogue = serving.catalogue()
        try:
            message = parse_explain(raw).request
            request = request_of(message, call.metadata, call.time_remaining(), Trace(), catalogue, arrived)
        except Unacceptable as wrong:
            raise error_of(refused(wrong.refusal)) from None
        told = serving.explain(catalogue, request)
        if isinstance(told, dispatcher_pb2.ExplainResponse):
            return told.SerializeToString()
        raise error_of(refused(told))


def snapshot(kind: Kind, limit: int, seen: Seen) -> dispatcher_pb2.DispatchStreamResponse | None:
    """What there is to see as a message; None if it cannot be one. Then the last message says so, if it is so still."""
    what, coverage = seen
    shown = dispatcher_pb2.DispatchStreamResponse(coverage=to_coverage(coverage))
    if isinstance(what, BranchReport):
        shown.branch.CopyFrom(to_branch(what))
        return shown
    whole = written(what, kind)
    if isinstance(whole, Refusal) or over(whole, limit):
        return None
    shown.snapshot.CopyFrom(whole)
    return shown
