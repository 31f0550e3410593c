"""A call from outside becomes a `Request`, or is turned down by the name of the field that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import urandom
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message

from dispatcher.model.plan import Catalogue
from dispatcher.model.request import LOOSE, Refusal, Request, Tightening, Trace
from fanmesh.model.fault import Code
from fanmesh.model.states import EmitMode
from fanmesh.model.times import SECOND
from fanmesh.model.values import Malformed
from fanmesh.payload import Box, Kind
from fanmesh.transport.port import ServerCall
from fanmesh.v1 import dispatcher_pb2

M = TypeVar("M", bound=Message)

KINDS: Final = frozenset(kind.value for kind in Kind)
CRITICALITIES: Final = frozenset({"CRITICAL", "SHEDDABLE"})

MAX_REQUEST_ID: Final = 128

TRAVELLING: Final = frozenset({"fanmesh-request-id", "fanmesh-criticality", "fanmesh-hops"})
"""Metadata of the caller that goes on to the workers."""


class Unacceptable(Exception):  # noqa: N818  (what the request is, not an error of ours)
    """The request cannot be taken."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.refusal = Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", f"{field}: {message}", (("field", field),))


def _parser(kind: type[M]) -> Callable[[bytes], M]:
    def parse(raw: bytes) -> M:
        try:
            return kind.FromString(raw)
        except DecodeError:
            raise Unacceptable("request", f"the bytes are not a {kind.DESCRIPTOR.full_name}") from None

    return parse


parse_dispatch = _parser(dispatcher_pb2.DispatchRequest)
parse_stream = _parser(dispatcher_pb2.DispatchStreamRequest)
parse_explain = _parser(dispatcher_pb2.ExplainRequest)


def request_of(
    message: dispatcher_pb2.DispatchRequest,
    call: ServerCall,
    trace: Trace,
    catalogue: Catalogue,
    arrived: int,
    emit: EmitMode = EmitMode.FINAL,
    min_interval: int = 0,
) -> Request:
    """The request in a message; raises Unacceptable with the field that is wrong or not supported yet.

    JSON text is read here, because malformed text must not reach a worker; a Struct is opened only if something reads it.
    """
    if message.idempotency_key:
        raise Unacceptable("idempotency_key", "is not supported by this version")
    if message.reply_kind and message.reply_kind not in KINDS:
        raise Unacceptable("reply_kind", f"{message.reply_kind} is no PayloadKind")
    box = Box(message.input if message.HasField("input") else None)
    if message.input.WhichOneof("body") == "json":
        try:
            _ = box.value
        except Malformed as error:
            raise Unacceptable("input.json", str(error)) from None
    remaining = call.time_remaining()
    headers = {key: told for key, told in call.metadata if key in TRAVELLING}
    request_id = _request_id(str(headers.get("fanmesh-request-id") or ""))
    return Request(
        id=request_id,
        plan=message.plan,
        input=box,
        arrived=arrived,
        attributes=_attributes(message.attributes, catalogue) if message.attributes else {},
        remaining=None if remaining is None else int(remaining * SECOND),
        tightening=_tightening(message),
        emit=emit,
        min_interval=min_interval,
        trace=trace,
        headers=(
            ("fanmesh-request-id", request_id),
            ("fanmesh-criticality", _criticality(str(headers.get("fanmesh-criticality") or "CRITICAL"))),
            ("fanmesh-hops", _hops(str(headers.get("fanmesh-hops") or "0"))),
            *trace.headers(),
        ),
    )


def emit_of(message: dispatcher_pb2.DispatchStreamRequest) -> EmitMode:
    """The emit mode that is asked for; Unacceptable for those that are not supported yet."""
    try:
        mode = EmitMode(message.emit or EmitMode.FINAL)
    except ValueError:
        raise Unacceptable("emit", f"{message.emit} is no EmitMode") from None
    if mode is EmitMode.DELTA:
        raise Unacceptable("emit", "EMIT_MODE_DELTA is not supported by this version; SNAPSHOT is")
    return mode


def duration(field: str, value: Duration) -> int:
    """A duration in ns; Unacceptable if it is negative or out of range."""
    ns = value.seconds * SECOND + value.nanos
    if ns < 0 or not 0 <= value.nanos < SECOND:
        raise Unacceptable(field, "must not be negative")
    return ns


def _attributes(given: Mapping[str, str], catalogue: Catalogue) -> dict[str, str]:
    for name in given:
        if name not in catalogue.attributes:
            declared = ", ".join(catalogue.attributes) or "none"
            raise Unacceptable(f"attributes.{name}", f"is not declared in the configuration; declared: {declared}")
    return dict(given)


def _tightening(message: dispatcher_pb2.DispatchRequest) -> Tightening:
    if not (message.HasField("budget") or message.HasField("accept")):
        return LOOSE
    budget, accept = message.budget, message.accept
    for field, amount in (("budget.tokens", budget.tokens), ("budget.cost_usd_micros", budget.cost_usd_micros)):
        if amount:
            raise Unacceptable(field, "is not supported by this version")
    if not 0.0 <= accept.min_coverage <= 1.0:
        raise Unacceptable("accept.min_coverage", f"{accept.min_coverage} is not in [0, 1]")
    latency = duration("budget.latency", budget.latency) if budget.HasField("latency") else 0
    return Tightening(latency or None, accept.min_success, accept.min_coverage, frozenset(accept.required))


def _request_id(told: str) -> str:
    """The caller's id, or one of ours. Every worker is sent it, and metadata has little room."""
    if len(told) > MAX_REQUEST_ID:
        raise Unacceptable("fanmesh-request-id", f"{len(told)} characters are more than {MAX_REQUEST_ID}")
    return told or urandom(16).hex()


def _hops(told: str) -> str:
    """One more than the caller says."""
    if not (told.isascii() and told.isdecimal() and len(told) < 4):
        raise Unacceptable("fanmesh-hops", f"{told!r} is not a number below 1000")
    return str(int(told) + 1)


def _criticality(told: str) -> str:
    if told not in CRITICALITIES:
        raise Unacceptable("fanmesh-criticality", f"{told!r} is none of {', '.join(sorted(CRITICALITIES))}")
    return told
