"""The fields that events and effects have in common, each written and read in one place.

Readers name the field in their errors; writers trust the model, which cannot hold anything else.
"""

from __future__ import annotations

from enum import IntEnum
from math import isfinite
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration

from fanmesh.jsontext import PayloadError, encode
from fanmesh.model.coverage import Coverage
from fanmesh.model.merge import Conflict
from fanmesh.model.times import SECOND
from fanmesh.model.values import Opaque, Value
from fanmesh.payload import from_value, to_value
from fanmesh.structs import from_struct_value, to_struct_value
from fanmesh.v1 import aggregator_pb2, payload_pb2, report_pb2

E = TypeVar("E", bound=IntEnum)

LATEST: Final = 1 << 63
"""Times in ns are below this, so that every language can hold them."""


class LogError(ValueError):
    """A message that is no entry of an event log, or no answer to one. `field` is its dotted path; empty = the whole."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


def duration(ns: int) -> Duration:
    """`ns` as a message, exactly."""
    whole, rest = divmod(ns, SECOND)
    return Duration(seconds=whole, nanos=rest)


def read_duration(message: Duration, field: str) -> int:
    """Nanoseconds ≥ 0."""
    if message.seconds < 0 or not 0 <= message.nanos < SECOND:
        raise LogError(field, f"{message.seconds} s and {message.nanos} ns are no time ≥ 0")
    ns: int = message.seconds * SECOND + message.nanos
    if ns >= LATEST:
        raise LogError(field, f"{message.seconds} s is too far away")
    return ns


def number(member: IntEnum) -> Any:
    """Its number. Any, because the stubs want a class of their own that does not exist at run time."""
    return int(member)


def read_enum(kind: type[E], value: int, field: str) -> E:
    """The member with that number."""
    try:
        return kind(value)
    except ValueError:
        raise LogError(field, f"{value} is not known here" if value else "is not set") from None


def read_number(value: float, field: str, *, most: float = 1.0, positive: bool = False) -> float:
    """A finite number in [0, most], or in (0, most]."""
    if not isfinite(value) or not 0.0 <= value <= most or (positive and not value):
        raise LogError(field, f"{value} is not in {'(' if positive else '['}0, {most:g}]")
    return value


def write_value(value: Value, into: payload_pb2.Payload) -> None:
    """A value as JSON text; an Opaque as what it is."""
    if isinstance(value, Opaque):
        into.CopyFrom(from_value(value))
    else:
        into.json = encode(value).decode()


def read_value(payload: payload_pb2.Payload, field: str) -> Value:
    """The value in a payload. A message stays closed, whoever may know it: both ends must see the same."""
    if payload.WhichOneof("body") == "message":
        return Opaque(payload.message.type_url, payload.message.value, is_message=True)
    try:
        return to_value(payload)
    except PayloadError as e:
        raise LogError(field, str(e)) from None


def write_span(span_id: bytes, flags: int, into: aggregator_pb2.BranchPart | aggregator_pb2.BranchEnd) -> None:
    """Span id and trace flags of a part or an ending; nothing if it is not traced."""
    if span_id:
        into.span_id = span_id
        into.trace_flags = flags


def read_span(span_id: bytes, field: str) -> bytes:
    """A span id: 8 bytes, or none."""
    if len(span_id) not in (0, 8):
        raise LogError(f"{field}.span_id", f"{len(span_id)} bytes instead of 8")
    return span_id


def write_coverage(coverage: Coverage, into: report_pb2.Coverage) -> None:
    """All of it; present even if everything is 0."""
    into.CopyFrom(report_pb2.Coverage(**coverage._asdict()))


def read_coverage(message: report_pb2.Coverage) -> Coverage:
    """All of it."""
    return Coverage(*(getattr(message, name) for name in Coverage._fields))


def write_conflict(conflict: Conflict, into: report_pb2.Conflict) -> None:
    """A conflict for a report or a result.

    A value that a `google.protobuf.Value` cannot hold exactly (integers beyond ±2^53, deep nesting) is given as its JSON text:
    a report must neither be a little wrong nor fail over a detail. Numbers are doubles there, so 1.0 reads back as 1.
    """
    into.path = conflict.path
    into.chosen = conflict.chosen
    for branch, value in conflict.values.items():
        try:
            to_struct_value(value, 0, into.values[branch])
        except PayloadError:
            into.values[branch].Clear()
            into.values[branch].string_value = encode(value).decode()


def read_conflict(message: report_pb2.Conflict, field: str, merged: tuple[str, ...] = ()) -> Conflict:
    """A conflict. A map on the wire has no order: branches come as in `merged`, then by their names."""
    places = {branch: at for at, branch in enumerate(merged)}
    try:
        branches = sorted(message.values, key=lambda branch: (places.get(branch, len(places)), branch))
        values = {branch: from_struct_value(message.values[branch]) for branch in branches}
    except PayloadError as e:
        raise LogError(f"{field}.values", str(e)) from None
    return Conflict(message.path, values, message.chosen)
