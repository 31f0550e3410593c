"""A dispatcher as a worker of a dispatcher: WorkerService in front of the same plans.

So a plan can be a branch of another dispatcher's plan, without a program between them. What the outer one says of its attempt
is taken over: request id, criticality, hops, the kind of the attempt, whether it is a shadow, and the idempotency key. The
report stays here; the outer one is told the result, whether it is complete, and what it cost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from hashlib import blake2b
from typing import Final, TypeAlias

from google.protobuf.message import DecodeError

from dispatcher.model.plan import Catalogue
from dispatcher.model.request import Refusal
from dispatcher.wire.answering import Asked, Serving, accept, answer, result_kind, watch
from dispatcher.wire.inbound import Unacceptable, is_key
from dispatcher.wire.outbound import COMPLETE, Finished, error_of, over, refused, trailers_of, written
from dispatcher.wire.view import View
from fanmesh.model.report import BranchReport
from fanmesh.model.states import EmitMode
from fanmesh.model.usage import NOTHING
from fanmesh.reporting import from_usage
from fanmesh.transport.port import Metadata, Routes, ServerCall
from fanmesh.v1 import dispatcher_pb2, worker_pb2

SERVICE: Final = "fanmesh.v1.WorkerService"
PROCESS: Final = f"{SERVICE}/Process"
STREAM: Final = f"{SERVICE}/ProcessStream"
WORKER: Final = "fanmesh-worker"

Work: TypeAlias = worker_pb2.ProcessRequest | worker_pb2.ProcessStreamRequest
Answer: TypeAlias = worker_pb2.ProcessResponse | worker_pb2.ProcessStreamResponse


class AsWorker:
    """The two methods of the service."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def routes(self) -> Routes:
        """What a server answers with this service."""
        return Routes(unary={f"/{PROCESS}": self.process}, stream={f"/{STREAM}": self.process_stream})

    async def process(self, raw: bytes, call: ServerCall) -> bytes:
        """Answer once."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        with serving.door.passage(call) as passage:
            try:
                work = _parsed(worker_pb2.ProcessRequest, raw)
                asked = self._accept(work, call, arrived, passage.shed, EmitMode.FINAL, PROCESS)
            except Unacceptable as wrong:
                finished = refused(wrong.refusal)
            else:
                finished = await answer(serving, asked)
        if finished.refusal is not None:
            raise error_of(finished)
        call.set_trailers(trailers_of(finished))
        answered = worker_pb2.ProcessResponse(output=finished.response.result)
        _account(answered, finished)
        return answered.SerializeToString()

    async def process_stream(self, raw: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        """Answer with the result so far, each time the whole of it; the last part is the result."""
        serving, arrived = self._serving, self._serving.engine.clock.now()
        emit = EmitMode.SNAPSHOT
        with serving.door.passage(call) as passage:
            try:
                work = _parsed(worker_pb2.ProcessStreamRequest, raw)
                asked = self._accept(work, call, arrived, passage.shed, emit, STREAM)
            except Unacceptable as wrong:
                finished = refused(wrong.refusal)
            else:
                async with aclosing(watch(serving, asked, View(emit, 0, serving.engine.clock), passage)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            finished = event
                            continue
                        what = event[0]
                        if isinstance(what, BranchReport):
                            continue
                        snapshot = written(what, result_kind(asked.message))
                        if not (isinstance(snapshot, Refusal) or over(snapshot, serving.limits.reply)):
                            yield _replacing(worker_pb2.ProcessStreamResponse(part=snapshot))
        if finished.refusal is not None:
            raise error_of(finished)
        call.set_trailers(trailers_of(finished))
        last = worker_pb2.ProcessStreamResponse(part=finished.response.result)
        _account(last, finished)
        yield _replacing(last)

    def _accept(self, work: Work, call: ServerCall, arrived: int, shed: Refusal | None, emit: EmitMode, method: str) -> Asked:
        if work.HasField("allowance"):
            raise Unacceptable("allowance", "is not supported by this version")
        message = _message(work, call, self._serving.catalogue())
        return accept(self._serving, message, call, _metadata(work, call), arrived, shed, emit, method=method)


def both(one: Routes, other: Routes) -> Routes:
    """A server that answers with two services."""
    return Routes({**one.unary, **other.unary}, {**one.stream, **other.stream}, {**one.duplex, **other.duplex})


def _parsed(kind: type[worker_pb2.ProcessRequest | worker_pb2.ProcessStreamRequest], raw: bytes) -> Work:
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise Unacceptable("request", f"the bytes are not a {kind.DESCRIPTOR.full_name}") from None


def _message(work: Work, call: ServerCall, catalogue: Catalogue) -> dispatcher_pb2.DispatchRequest:
    """The work as a request: of the plan that has the worker's name, if there is one, else of whatever the routes choose."""
    name = call.header(WORKER)
    message = dispatcher_pb2.DispatchRequest(
        plan=name if name in catalogue.plans else "", attributes=work.attributes, idempotency_key=_key(work.idempotency_key)
    )
    if work.HasField("input"):
        message.input.CopyFrom(work.input)
    return message


def _key(given: str) -> str:
    """A key of the form that is accepted, the same for the same one: each dispatcher on the way makes it longer."""
    return given if is_key(given) else blake2b(given.encode(), digest_size=16).hexdigest()


def _metadata(work: Work, call: ServerCall) -> Metadata:
    """What the caller says of the call. The message fills in what a caller without Fanmesh's metadata leaves out."""
    kind = (("fanmesh-attempt-kind", "shadow"),) if work.shadow else ()
    retry = (("fanmesh-attempt-kind", "retry"),) if work.attempt else ()
    return (*retry, ("fanmesh-request-id", work.request_id), *call.metadata, *kind)  # of two the last one counts


def _account(answered: Answer, finished: Finished) -> None:
    """What the outer dispatcher is told beside the result."""
    report = finished.response.report
    answered.labels[COMPLETE] = "true" if report.complete else "false"
    used = sum((from_usage(row.usage) for row in report.branches if row.HasField("usage")), NOTHING)
    if used:
        answered.usage.input_tokens = used.input_tokens
        answered.usage.output_tokens = used.output_tokens
        answered.usage.cost_usd_micros = used.cost_usd_micros


def _replacing(part: worker_pb2.ProcessStreamResponse) -> bytes:
    part.mode = worker_pb2.PART_MODE_REPLACE
    return part.SerializeToString()
