"""A call from outside becomes a `Request`, or is turned down by the name of the field that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from os import urandom
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message

from dispatcher.model.plan import Catalogue
from dispatcher.model.request import LOOSE, Refusal, Request, Tightening, Trace
from dispatcher.policies.faults import ABORT_HEADER, DELAY_HEADER
from fanmesh.model.fault import Code
from fanmesh.model.states import AttemptKind, EmitMode
from fanmesh.model.times import SECOND
from fanmesh.model.values import Malformed
from fanmesh.payload import Box, Kind
from fanmesh.transport.port import Metadata
from fanmesh.transport.sendable import unsendable
from fanmesh.v1 import dispatcher_pb2

M = TypeVar("M", bound=Message)

KINDS: Final = frozenset(kind.value for kind in Kind)
CRITICALITIES: Final = frozenset({"CRITICAL", "SHEDDABLE"})

MAX_REQUEST_ID: Final = 128
MAX_KEY: Final = 256

MAX_HOPS: Final = 4
"""Dispatchers that a request may pass one after the other. `fanmesh-hops` counts those it has passed: absent or 0 from a
program, 1 from the first dispatcher to its workers. A dispatcher that is sent a 4 refuses, because its own workers would be
sent a 5: a plan that reaches itself through a worker would otherwise multiply without end."""

READ: Final = frozenset({"fanmesh-request-id", "fanmesh-criticality", "fanmesh-hops", "fanmesh-attempt-kind"})
"""Metadata of the caller that means something here; it goes on to the workers."""

FAULTS: Final = frozenset({ABORT_HEADER, DELAY_HEADER})
"""Metadata by which a caller asks for faults, of workers that are configured to listen to it."""

INHERITED: Final = {"retry": AttemptKind.RETRY, "hedge": AttemptKind.HEDGE, "shadow": AttemptKind.SHADOW}
"""Attempts of an outer dispatcher that change what an inner one does. Everything else, words of later versions among them, is
FIRST: the kind is advice, and a call must not fail because of it."""


class Unacceptable(Exception):  # noqa: N818  (what the request is, not an error of ours)
    """The request cannot be taken."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.refusal = Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", f"{field}: {message}", (("field", field),))


class TurnedAway(Unacceptable):
    """The door has said no; the request may be as it should."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("request", refusal.message)
        self.refusal = refusal


class TooManyHops(Unacceptable):
    """The request has passed as many dispatchers as it may."""

    def __init__(self, hops: int) -> None:
        super().__init__("fanmesh-hops", f"the request has passed {hops} dispatchers, and {MAX_HOPS} is the most")
        self.refusal = Refusal(Code.FAILED_PRECONDITION, "TOO_MANY_HOPS", str(self), (("hops", str(hops)),))


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
    metadata: Metadata,
    time_left: float | None,
    trace: Trace,
    catalogue: Catalogue,
    arrived: int,
    emit: EmitMode = EmitMode.FINAL,
    min_interval: int = 0,
) -> Request:
    """The request in a message; raises Unacceptable with the field that is wrong or not supported yet.

    `time_left`: seconds until the caller's deadline, None = it has none. JSON text is read here, because malformed text must
    not reach a worker; a Struct is opened only if something reads it.
    """
    if not is_key(message.idempotency_key):
        raise Unacceptable("idempotency_key", f"is more than {MAX_KEY} characters, or not printable ASCII")
    if message.reply_kind and message.reply_kind not in KINDS:
        raise Unacceptable("reply_kind", f"{message.reply_kind} is no PayloadKind")
    box = Box(message.input if message.HasField("input") else None)
    if message.input.WhichOneof("body") == "json":
        try:
            _ = box.value
        except Malformed as error:
            raise Unacceptable("input.json", str(error)) from None
    headers = {key: told for key, told in metadata if key in READ}
    faults = tuple([(key, str(told)) for key, told in metadata if key in FAULTS])
    request_id = _request_id(str(headers.get("fanmesh-request-id") or ""))
    criticality = _criticality(str(headers.get("fanmesh-criticality") or "CRITICAL"))
    inherited = INHERITED.get(str(headers.get("fanmesh-attempt-kind")), AttemptKind.FIRST)
    return Request(
        id=request_id,
        plan=message.plan,
        input=box,
        arrived=arrived,
        attributes=_attributes(message.attributes, catalogue) if message.attributes else {},
        remaining=None if time_left is None else int(time_left * SECOND),
        tightening=_tightening(message),
        emit=emit,
        min_interval=min_interval,
        trace=trace,
        headers=(
            ("fanmesh-request-id", request_id),
            ("fanmesh-criticality", criticality),
            ("fanmesh-hops", _hops(str(headers.get("fanmesh-hops") or "0"))),
            *trace.headers(),
        ),
        critical=criticality == "CRITICAL",
        inherited=inherited,
        shadow=inherited is AttemptKind.SHADOW,
        idempotency_key=message.idempotency_key,
        faults=faults,
        metadata=_passed(metadata, passed) if (passed := catalogue.metadata) else (),
    )


def _passed(metadata: Metadata, keys: Container[str]) -> tuple[tuple[str, str | bytes], ...]:
    """What workers are told of it. Servers take what clients do not send on, and no worker should have the blame for that."""
    told = tuple([pair for pair in metadata if pair[0] in keys])
    if wrong := unsendable(told):
        raise Unacceptable("metadata", wrong)
    return told


def emit_of(message: dispatcher_pb2.DispatchStreamRequest) -> EmitMode:
    """The emit mode that is asked for; Unacceptable for one that is not known."""
    try:
        return EmitMode(message.emit or EmitMode.FINAL)
    except ValueError:
        raise Unacceptable("emit", f"{message.emit} is no EmitMode") from None


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
    if not (told.isascii() and told.isprintable()):
        raise Unacceptable("fanmesh-request-id", "is not printable ASCII")
    return told or urandom(16).hex()


def _hops(told: str) -> str:
    """One more than the caller says."""
    if not (told.isascii() and told.isdecimal() and len(told) < 4):
        raise Unacceptable("fanmesh-hops", f"{told!r} is not a number below 1000")
    hops = int(told)
    if hops >= MAX_HOPS:
        raise TooManyHops(hops)
    return str(hops + 1)


def is_key(text: str) -> bool:
    """Whether it can be an idempotency key; empty = none."""
    return len(text) <= MAX_KEY and text.isascii() and text.isprintable()


def _criticality(told: str) -> str:
    if told not in CRITICALITIES:
        raise Unacceptable("fanmesh-criticality", f"{told!r} is none of {', '.join(sorted(CRITICALITIES))}")
    return told
