"""Layer 7, the leaf for gRPC workers: one call of WorkerService with the time that is left.

The request's input was serialised when it arrived; each branch only makes its small head and appends those bytes, because a
protobuf message is the concatenation of its fields. With fifty branches and a large input that is most of the cost of sending.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from dispatcher.flow.ports import Clock
from dispatcher.layers.types import Attempt, Gate, Sink
from dispatcher.model.limits import Limits
from dispatcher.wire.faults import fault_of, invalid, too_large
from fanmesh.jsontext import ANSWER_DEPTH
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import seconds
from fanmesh.model.usage import NOTHING, Usage
from fanmesh.model.values import Value
from fanmesh.payload import Box, PayloadError, to_value
from fanmesh.transport.port import Channel, Metadata, RpcError
from fanmesh.v1 import worker_pb2

PROCESS: Final = "/fanmesh.v1.WorkerService/Process"
PROCESS_STREAM: Final = "/fanmesh.v1.WorkerService/ProcessStream"

SHEDDABLE: Final = ("fanmesh-criticality", "SHEDDABLE")

NO_FURTHER: Final = frozenset({AttemptKind.FIRST, AttemptKind.PROBE})
"""Kinds that would say to whoever is called that nobody has asked for the same before."""
"""What a hedge says of itself: a copy of a call that may still be answered is the first to go. Source: Tail at Scale."""

INPUT_TAG: Final = bytes([worker_pb2.ProcessRequest.INPUT_FIELD_NUMBER << 3 | 2])
"""Field 5 of both request messages, length-delimited."""


class GrpcEndpoint:
    """One address of a worker that speaks WorkerService. `spare`: a second connection to it, for hedges only."""

    __slots__ = ("_channel", "_clock", "_limits", "address", "ready", "spare")

    def __init__(self, channel: Channel, clock: Clock, limits: Limits, *, spare: bool = False) -> None:
        self._channel = channel
        self._clock = clock
        self._limits = limits
        self.address = channel.address
        self.ready = channel.ready
        self.spare = spare

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Make the call. Cancelling it cancels the worker."""
        run = attempt.run
        timeout = seconds(attempt.deadline - self._clock.now())
        if run.node.worker.streams:
            return await self._stream(attempt, sink, timeout)
        try:
            reply = await self._channel.unary(PROCESS, request_bytes(attempt), timeout=timeout, metadata=metadata_of(attempt))
        except RpcError as error:
            return fault_of(error, self._clock.now(), attempt.deadline, 0)
        return self._read(reply.payload)

    def _read(self, payload: bytes) -> Outcome:
        if len(payload) > self._limits.branch:
            return too_large("an answer", len(payload), self._limits.branch)
        try:
            message = worker_pb2.ProcessResponse.FromString(payload)
            value = to_value(message.output, ANSWER_DEPTH)
        except DecodeError:
            return invalid("the answer is not a ProcessResponse")
        except PayloadError as error:
            return invalid(f"output: {error}")
        return _success(message, value, None, NOTHING, None)

    async def _stream(self, attempt: Attempt, sink: Sink, left: float) -> Outcome:
        try:
            stream = self._channel.stream(PROCESS_STREAM, request_bytes(attempt), timeout=left, metadata=metadata_of(attempt))
        except RpcError as error:
            return fault_of(error, self._clock.now(), attempt.deadline, 0)
        total = count = 0
        last = Success(None)
        try:
            async for raw in stream:
                total += len(raw)
                if len(raw) > self._limits.part:
                    return too_large("a part", len(raw), self._limits.part)
                if total > self._limits.branch:
                    return too_large("an answer", total, self._limits.branch)
                outcome = await self._take(raw, count, last, attempt, sink)
                if isinstance(outcome, Fault):
                    return outcome
                last, count = outcome, count + 1
        except RpcError as error:
            return fault_of(error, self._clock.now(), attempt.deadline, count)
        finally:
            await stream.aclose()
        return last._replace(streamed=count > 0)

    async def _take(self, raw: bytes, seq: int, last: Success, attempt: Attempt, sink: Sink) -> Success | Fault:
        try:
            message = worker_pb2.ProcessStreamResponse.FromString(raw)
            value = to_value(message.part, ANSWER_DEPTH)
        except DecodeError:
            return invalid(f"part {seq} is not a ProcessStreamResponse")
        except PayloadError as error:
            return invalid(f"part {seq}: {error}")
        outcome = _success(message, None, last.confidence, last.usage, last.labels)
        if isinstance(outcome, Fault):
            return outcome
        replace = message.mode == worker_pb2.PART_MODE_REPLACE
        gate = sink.part(Part(value, replace, seq, outcome.confidence, len(raw)), attempt)
        match gate:
            case Gate.GO:
                pass
            case Gate.STOP:
                return Fault(FaultKind.CANCELLED, Code.CANCELLED, "nobody waits for it", origin=Origin.LOCAL)
            case Fault():
                return gate
            case asyncio.Future():
                await gate
        return outcome


def _success(
    message: worker_pb2.ProcessResponse | worker_pb2.ProcessStreamResponse,
    value: Value,
    confidence: float | None,
    usage: Usage,
    labels: dict[str, str] | None,
) -> Success | Fault:
    """An answer with what the message says about it, or with what was said before."""
    if message.HasField("confidence"):
        confidence = message.confidence
        if not 0.0 <= confidence <= 1.0:  # NaN too
            return invalid(f"confidence: {confidence} is not in [0, 1]")
    if message.HasField("usage"):
        told = message.usage
        if told.input_tokens < 0 or told.output_tokens < 0 or told.cost_usd_micros < 0:
            return invalid("usage: negative amounts")
        usage = Usage(told.input_tokens, told.output_tokens, told.cost_usd_micros)
    if message.labels:
        labels = {**(labels or {}), **message.labels}
    return Success(value, confidence, usage, labels)


def request_bytes(attempt: Attempt) -> bytes:
    """A serialised ProcessRequest (or ProcessStreamRequest: the same fields)."""
    run = attempt.run
    request, carried = run.request, run.input
    if not isinstance(carried, Box):
        raise TypeError(f"an input that is no Box: {carried!r}")
    identity = request.wire
    if identity is None:
        identity = request.wire = worker_pb2.ProcessRequest(request_id=request.id).SerializeToString()
    parts = [identity, _place(run.plan.name, run.node.id), carried.field(INPUT_TAG)]
    if run.node.worker.attributes or attempt.number or run.node.writes or request.shadow or run.item_key:
        parts.append(_particulars(attempt).SerializeToString())
    return b"".join(parts)


@lru_cache(4096)
def _place(plan: str, branch: str) -> bytes:
    """The part of a request that is the same for every request of a branch."""
    return worker_pb2.ProcessRequest(plan=plan, branch=branch).SerializeToString()


def _particulars(attempt: Attempt) -> worker_pb2.ProcessRequest:
    run, request = attempt.run, attempt.run.request
    message = worker_pb2.ProcessRequest(attempt=attempt.number, shadow=request.shadow, item_key=run.item_key)
    if run.node.writes:
        message.idempotency_key = key_of(attempt)
    given = request.attributes
    for name in run.node.worker.attributes:
        if (value := given.get(name)) is not None:
            message.attributes[name] = value
    return message


def key_of(attempt: Attempt) -> str:
    """What tells a worker that a write is the same one again.

    Alike for all attempts of a branch, and, if the caller has given the request a key, for all requests with it; another one
    for each item of a list.
    """
    run = attempt.run
    key = f"{run.request.idempotency_key or run.request.id}/{run.plan.name}/{run.node.id}"
    return key if run.item is None else f"{key}/{run.item_key}"


def metadata_of(attempt: Attempt) -> Metadata:
    """What every attempt carries beside the message."""
    run, kind = attempt.run, attempt.kind
    request = run.request
    if kind in NO_FURTHER and request.inherited is not AttemptKind.FIRST:
        kind = request.inherited  # ours is part of somebody's further attempt: who is called should know
    headers: tuple[tuple[str, str | bytes], ...] = request.headers
    if kind is AttemptKind.HEDGE and request.critical:
        headers = tuple(SHEDDABLE if header[0] == SHEDDABLE[0] else header for header in headers)
    worker = run.node.worker
    headers = headers + _headers(worker.name, kind) + attempt.metadata
    if worker.metadata and request.metadata:
        headers += tuple([header for header in request.metadata if header[0] in worker.metadata])
    return (*headers, ("grpc-previous-rpc-attempts", str(attempt.number))) if attempt.number else headers


@lru_cache(4096)
def _headers(worker: str, kind: AttemptKind) -> tuple[tuple[str, str], ...]:
    return (("fanmesh-worker", worker), ("fanmesh-attempt-kind", kind.name.lower()))
