"""Payload ⇄ values: the one place that converts.

Everything between two hops passes here, so what a value may be is decided once, for gRPC and for local workers alike: JSON with
finite floats, integers within int64 and uint64, well-formed strings, bounded depth; or an `Opaque` that is carried untouched.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import Error as JsonFormatError
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.struct_pb2 import Value as AnyValue
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import (
    BoolValue,
    BytesValue,
    DoubleValue,
    FloatValue,
    Int32Value,
    Int64Value,
    StringValue,
    UInt32Value,
    UInt64Value,
)

from fanmesh.adapting import adapt
from fanmesh.jsontext import DEPTH, PayloadError, encode, parse, plain, walk
from fanmesh.model.values import Opaque, Value
from fanmesh.structs import from_struct, to_struct
from fanmesh.v1.payload_pb2 import Blob, Payload

__all__ = ["Box", "Kind", "PayloadError", "adapt", "encode", "from_value", "parse", "plain", "to_value", "varint"]


@unique
class Kind(IntEnum):
    """How JSON values are written, by the numbers of the protocol's PayloadKind."""

    DATA = 1
    JSON = 2


_WELL_KNOWN: Final[dict[str, type[Message]]] = {
    known.DESCRIPTOR.full_name: known
    for known in (
        BoolValue,
        BytesValue,
        DoubleValue,
        Duration,
        Empty,
        FieldMask,
        FloatValue,
        Int32Value,
        Int64Value,
        ListValue,
        StringValue,
        Struct,
        Timestamp,
        UInt32Value,
        UInt64Value,
        AnyValue,
    )
}
"""Messages with a JSON form of their own, which every program knows. Other messages stay closed."""


def to_value(payload: Payload, depth: int = DEPTH) -> Value:
    """The value in a payload; no body is null. PayloadError says what is wrong, with the path of the field.

    `depth`: most levels of its JSON. The other forms have at most 50: protobuf stops at 100 messages within each other.
    """
    match payload.WhichOneof("body"):
        case "json":
            return parse(payload.json, depth)
        case "data":
            return from_struct(payload.data)
        case "message":
            return _open_message(payload.message.type_url, payload.message.value)
        case "blob":
            return Opaque(payload.blob.content_type, payload.blob.value, is_message=False)
        case _:
            return None


def _open_message(type_url: str, data: bytes) -> Value:
    name = type_url.rpartition("/")[2]
    known = _WELL_KNOWN.get(name)
    if known is None:
        return Opaque(type_url, data, is_message=True)
    try:
        return walk(MessageToDict(known.FromString(data)))
    except (DecodeError, JsonFormatError, ValueError) as e:
        raise PayloadError(f"malformed {name}: {e}") from None


def from_value(value: Value, kind: Kind = Kind.JSON) -> Payload:
    """The payload of a value.

    An Opaque keeps its own form. A value that is not a map is written as `json` even where `data` was asked for, because a
    Struct is a map. PayloadError for a value that the kind cannot hold, with its path.
    """
    if isinstance(value, Opaque):
        if value.is_message:
            payload = Payload()
            payload.message.type_url = value.media_type
            payload.message.value = value.data
            return payload
        return Payload(blob=Blob(content_type=value.media_type, value=value.data))
    if kind is Kind.DATA and isinstance(value, dict):
        payload = Payload()
        payload.data.SetInParent()
        to_struct(value, into=payload.data)
        return payload
    return Payload(json=encode(value).decode())


def kind_of(payload: Payload) -> Kind:
    """The kind in which a reply to this payload is written by default."""
    return Kind.DATA if payload.WhichOneof("body") == "data" else Kind.JSON


class Box:
    """A payload that is opened at most once, and written at most once per kind; often neither.

    Most values only pass through: opening one to close it again is the largest cost that a hop could have.
    """

    __slots__ = ("_error", "_field", "_opened", "_payload", "_value", "_wire")

    def __init__(self, payload: Payload | None, value: Value = None) -> None:
        self._payload = payload
        self._value = value
        self._opened = 0
        self._error: PayloadError | None = None
        self._wire: dict[Kind, bytes] = {}
        self._field: bytes | None = None

    @classmethod
    def of(cls, value: Value) -> Box:
        """A box around a value that is already open."""
        return cls(None, value)

    @property
    def opened(self) -> int:
        """How often the payload was read: 0 or 1."""
        return self._opened

    @property
    def value(self) -> Value:
        """What is inside. PayloadError, every time, if it cannot be read."""
        if self._error is not None:
            raise self._error
        if self._payload is not None and not self._opened:
            self._opened = 1
            try:
                self._value = to_value(self._payload)
            except PayloadError as e:
                self._error = e
                raise
        return self._value

    @property
    def kind(self) -> Kind:
        """The kind in which it came; JSON if it was made here, or is neither."""
        return Kind.JSON if self._payload is None else kind_of(self._payload)

    def payload(self, kind: Kind = Kind.JSON) -> Payload:
        """As a message of this kind. Not opened if it already has that kind, or is a blob or a message."""
        if self._payload is not None and self._passes(kind):
            return self._payload
        return from_value(self.value, kind)

    def wire(self, kind: Kind = Kind.JSON) -> bytes:
        """The serialised Payload of this kind, made once: append it to the heads of any number of requests."""
        wire = self._wire.get(kind)
        if wire is None:
            wire = self._wire[kind] = self.payload(kind).SerializeToString()
        return wire

    def field(self, tag: bytes) -> bytes:
        """The payload, in the encoding in which it came, as a serialised field of another message; made once.

        `tag` is the field's tag, length-delimited, and the same in every call.
        """
        if self._field is None:
            wire = self.wire(self.kind)
            self._field = b"".join((tag, varint(len(wire)), wire))
        return self._field

    def _passes(self, kind: Kind) -> bool:
        body = None if self._payload is None else self._payload.WhichOneof("body")
        match body:
            case "data":
                return kind is Kind.DATA
            case "json":
                return kind is Kind.JSON
            case _:
                return True


def varint(number: int) -> bytes:
    """A protobuf varint; `number` ≥ 0."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
