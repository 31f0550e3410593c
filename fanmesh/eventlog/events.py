"""Event ⇄ AggregateRequest."""

from __future__ import annotations

from typing import assert_never

from google.protobuf.message import DecodeError

from fanmesh.eventlog.fields import (
    LogError,
    duration,
    number,
    read_duration,
    read_enum,
    read_number,
    read_span,
    read_value,
    write_span,
    write_value,
)
from fanmesh.eventlog.start import read_start, write_start
from fanmesh.model.events import Alarm, Change, End, Event, Happening, PartArrived, Start
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, PartMode
from fanmesh.model.usage import NOTHING, Usage
from fanmesh.v1 import aggregator_pb2, payload_pb2


def encode_event(event: Event) -> bytes:
    """The bytes of an AggregateRequest. PayloadError if a value is no JSON."""
    message = aggregator_pb2.AggregateRequest(seq=event.seq, at=duration(event.at))
    match event.what:
        case PartArrived() as part:
            _write_part(part, message.part)
        case End() as end:
            _write_end(end, message.end)
        case Change() as change:
            _write_change(change, message.change)
        case Alarm(kind=alarm, branch=branch):
            message.alarm.kind = number(alarm)
            message.alarm.branch = branch
        case Start() as start:
            write_start(start, message.start)
        case never:
            assert_never(never)
    return message.SerializeToString()


def decode_event(raw: bytes) -> Event:
    """The event in an AggregateRequest. LogError names the field that is wrong, or not known here."""
    try:
        message = aggregator_pb2.AggregateRequest.FromString(raw)
    except DecodeError:
        raise LogError("", "not an AggregateRequest") from None
    if not message.seq:
        raise LogError("seq", "is not set; the first event has 1")
    return Event(message.seq, read_duration(message.at, "at"), _happening(message))


def _happening(message: aggregator_pb2.AggregateRequest) -> Happening:
    match message.WhichOneof("event"):
        case "part":
            return _read_part(message.part)
        case "end":
            return _read_end(message.end)
        case "change":
            return _read_change(message.change)
        case "alarm":
            return Alarm(read_enum(AlarmKind, message.alarm.kind, "alarm.kind"), message.alarm.branch)
        case "start":
            return read_start(message.start)
        case _:
            raise LogError("event", "is not set, or not known here")


def _write_change(change: Change, into: aggregator_pb2.BranchChange) -> None:
    into.branch = change.branch
    into.kind = number(change.kind)
    into.reason = number(change.reason)
    if change.item is not None:
        into.item = change.item
    if change.items:
        into.items.extend(change.items)
    into.tolerated = change.tolerated


def _read_change(message: aggregator_pb2.BranchChange) -> Change:
    kind = read_enum(ChangeKind, message.kind, "change.kind")
    if message.items and kind is not ChangeKind.EXPANDED:
        raise LogError("change.items", f"{kind.name} has no items")
    return Change(
        message.branch,
        kind,
        read_enum(BranchReason, message.reason, "change.reason"),
        _read_item(message),
        tuple(message.items),
        message.tolerated,
    )


def _read_item(message: aggregator_pb2.BranchChange | aggregator_pb2.BranchPart | aggregator_pb2.BranchEnd) -> int | None:
    return message.item if message.HasField("item") else None


def _write_part(part: PartArrived, into: aggregator_pb2.BranchPart) -> None:
    into.branch = part.branch
    into.attempt = part.attempt
    into.part_seq = part.part_seq
    into.mode = number(PartMode.REPLACE if part.replace else PartMode.APPEND)
    write_value(part.value, into.payload)
    if part.confidence is not None:
        into.confidence = part.confidence
    if part.item is not None:
        into.item = part.item
    write_span(part.span_id, part.trace_flags, into)


def _read_part(message: aggregator_pb2.BranchPart) -> PartArrived:
    return PartArrived(
        message.branch,
        message.attempt,
        message.part_seq,
        read_enum(PartMode, message.mode, "part.mode") is PartMode.REPLACE,
        read_value(message.payload, "part.payload"),
        _read_confidence(message, "part"),
        read_span(message.span_id, "part"),
        message.trace_flags,
        _read_item(message),
    )


def _write_end(end: End, into: aggregator_pb2.BranchEnd) -> None:
    into.branch = end.branch
    into.attempt = end.attempt
    into.state = number(end.state)
    into.reason = number(end.reason)
    if end.value is not None:
        write_value(end.value, into.payload)
    elif not end.streamed:
        into.payload.SetInParent()  # present and empty: null, or no answer. Absent says that parts are the answer
    if end.confidence is not None:
        into.confidence = end.confidence
    if end.usage:
        into.usage.input_tokens = end.usage.input_tokens
        into.usage.output_tokens = end.usage.output_tokens
        into.usage.cost_usd_micros = end.usage.cost_usd_micros
    if end.code or end.detail:
        into.status.code = end.code
        into.status.message = end.detail
    if end.item is not None:
        into.item = end.item
    write_span(end.span_id, end.trace_flags, into)


def _read_end(message: aggregator_pb2.BranchEnd) -> End:
    return End(
        message.branch,
        message.attempt,
        read_enum(BranchState, message.state, "end.state"),
        read_enum(BranchReason, message.reason, "end.reason"),
        read_value(message.payload, "end.payload"),
        not message.HasField("payload"),
        _read_confidence(message, "end"),
        _read_usage(message.usage),
        message.status.code,
        message.status.message,
        read_span(message.span_id, "end"),
        message.trace_flags,
        _read_item(message),
    )


def _read_usage(message: payload_pb2.Usage) -> Usage:
    usage = Usage(message.input_tokens, message.output_tokens, message.cost_usd_micros)
    if min(usage.input_tokens, usage.output_tokens, usage.cost_usd_micros) < 0:
        raise LogError("end.usage", "negative amounts")
    return usage or NOTHING


def _read_confidence(message: aggregator_pb2.BranchPart | aggregator_pb2.BranchEnd, field: str) -> float | None:
    return read_number(message.confidence, f"{field}.confidence") if message.HasField("confidence") else None
