"""DispatcherService: bytes in, the story of a request, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Engine, Reply
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Catalogue
from dispatcher.model.request import Refusal, Trace
from dispatcher.wire.explain import Explainer
from dispatcher.wire.inbound import (
    KINDS,
    Unacceptable,
    duration,
    emit_of,
    parse_dispatch,
    parse_explain,
    parse_stream,
    request_of,
)
from dispatcher.wire.outbound import COMPLETE, error_of, outcome_in, over, response_of, written
from dispatcher.wire.view import View
from fanmesh.model.report import BranchReport
from fanmesh.payload import Kind, kind_of
from fanmesh.reporting import to_branch, to_coverage
from fanmesh.transport.port import Metadata, Routes, ServerCall, StatusError
from fanmesh.v1 import dispatcher_pb2

SERVICE: Final = "fanmesh.v1.DispatcherService"


@dataclass(frozen=True, slots=True)
class Serving:
    """What the servicer needs. `catalogue` gives the one in force; a request keeps the one it began with."""

    engine: Engine
    catalogue: Callable[[], Catalogue]
    trace: Callable[[Metadata], Trace]
    explain: Explainer
    limits: Limits


class DispatcherService:
    """The three methods of the service."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def routes(self) -> Routes:
        """What a server answers with this service."""
        return Routes(
            unary={f"/{SERVICE}/Dispatch": self.dispatch, f"/{SERVICE}/Explain": self.explain},
            stream={f"/{SERVICE}/DispatchStream": self.dispatch_stream},
        )

    async def dispatch(self, raw: bytes, call: ServerCall) -> bytes:
        """Answer once."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        catalogue = serving.catalogue()
        message = None
        try:
            message = parse_dispatch(raw)
            request = request_of(message, call, serving.trace(call.metadata), catalogue, arrived)
        except Unacceptable as wrong:
            reply = Reply(None, None, wrong.refusal)
        else:
            reply = await dispatch(serving.engine, catalogue, request)
        response, error = self._finish(message, reply, call)
        if error is not None:
            raise error
        return response.SerializeToString()

    async def dispatch_stream(self, raw: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        """Answer while the fan-out runs; the last message holds the report, also on failure."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        catalogue = serving.catalogue()
        message = None
        try:
            outer = parse_stream(raw)
            message = outer.request
            emit = emit_of(outer)
            pause = duration("min_interval", outer.min_interval)
            trace = serving.trace(call.metadata)
            request = request_of(message, call, trace, catalogue, arrived, emit, pause)
        except Unacceptable as wrong:
            last, error = self._last(1, message, Reply(None, None, wrong.refusal), call)
            yield last
            if error is not None:
                raise error from None
            return
        view = View(emit, pause, serving.engine.clock)
        running = asyncio.ensure_future(dispatch(serving.engine, catalogue, request, view))
        seq = 0
        try:
            async for what, coverage in view.until(running):
                shown = dispatcher_pb2.DispatchStreamResponse(seq=seq + 1, coverage=to_coverage(coverage))
                if isinstance(what, BranchReport):
                    shown.branch.CopyFrom(to_branch(what))
                else:
                    snapshot = written(what, _kind(message))
                    if isinstance(snapshot, Refusal) or over(snapshot, serving.limits.reply):
                        continue  # if the result cannot be sent either, the last message says so
                    shown.snapshot.CopyFrom(snapshot)
                seq += 1
                yield shown.SerializeToString()
            reply = await running
        finally:
            if not running.done():
                running.cancel()
                serving.engine.reaper.adopt([running])
        last, error = self._last(seq + 1, message, reply, call)
        yield last
        if error is not None:
            raise error

    async def explain(self, raw: bytes, call: ServerCall) -> bytes:
        """Say what would run."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        catalogue = serving.catalogue()
        try:
            message = parse_explain(raw).request
            request = request_of(message, call, Trace(), catalogue, arrived)
        except Unacceptable as wrong:
            raise error_of(wrong.refusal) from None
        answer = serving.explain(catalogue, request)
        if isinstance(answer, dispatcher_pb2.ExplainResponse):
            return answer.SerializeToString()
        raise error_of(answer)

    def _last(
        self, seq: int, message: dispatcher_pb2.DispatchRequest | None, reply: Reply, call: ServerCall
    ) -> tuple[bytes, StatusError | None]:
        """The last message of a stream, and the error to raise after it."""
        response, error = self._finish(message, reply, call)
        last = dispatcher_pb2.DispatchStreamResponse(seq=seq, final=response)
        if reply.report is not None:
            last.coverage.CopyFrom(response.report.coverage)
        return last.SerializeToString(), error

    def _finish(
        self, message: dispatcher_pb2.DispatchRequest | None, reply: Reply, call: ServerCall
    ) -> tuple[dispatcher_pb2.DispatchResponse, StatusError | None]:
        """The last message, and the error to raise after it, if the call is to fail."""
        response, refusal = response_of(reply, _kind(message), self._serving.limits.reply)
        if refusal is None:
            call.set_trailers([(COMPLETE, "true" if response.report.complete else "false")])
            return response, None
        outcome_in(response, refusal)
        if message is not None and message.failure_in_message:
            call.set_trailers([(COMPLETE, "false")])
            return response, None
        return response, error_of(refusal, reply)


def _kind(message: dispatcher_pb2.DispatchRequest | None) -> Kind:
    if message is None:
        return Kind.JSON
    return Kind(message.reply_kind) if message.reply_kind in KINDS else kind_of(message.input)
