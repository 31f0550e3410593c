"""Rich errors: `google.rpc.Status` in the trailer `grpc-status-details-bin`, as every gRPC implementation understands it.

Twenty lines instead of grpcio-status, which takes a grpc call object and so cannot stand behind a port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, QuotaFailure, ResourceInfo
from google.rpc.status_pb2 import Status

from fanmesh.model.fault import Code
from fanmesh.transport.port import Metadata

DETAILS: Final = "grpc-status-details-bin"
PUSHBACK: Final = "grpc-retry-pushback-ms"
DOMAIN: Final = "fanmesh"
MESSAGE_LIMIT: Final = 1024
"""Characters of a status message. It is sent twice, and trailers above 8 KB replace the status by one that says so."""

ENCODED_LIMIT: Final = 2 * MESSAGE_LIMIT
"""Bytes of the same as gRPC sends it: whatever is not printable ASCII takes three for each of its own."""

KINDS: Final[Mapping[str, type[Message]]] = {
    f"google.rpc.{kind.__name__}": kind for kind in (BadRequest, ErrorInfo, PreconditionFailure, QuotaFailure, ResourceInfo)
}
"""Details that are told in words."""

M = TypeVar("M", bound=Message)


def error_info(reason: str, metadata: Mapping[str, str] | None = None) -> ErrorInfo:
    """Why, for programs: an UPPER_SNAKE reason of our own domain."""
    return ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {})


def clip(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """`message` within `limit` characters and ENCODED_LIMIT bytes, and without what gRPC cannot send (lone surrogates)."""
    short = message if len(message) <= limit else f"{message[: limit - 1]}…"
    short = short.encode(errors="replace").decode()
    if 3 * len(short) <= ENCODED_LIMIT and short.isascii():
        return short
    room = ENCODED_LIMIT - _encoded("…")
    for position, character in enumerate(short):
        room -= _encoded(character)
        if room < 0:
            return f"{short[:position]}…"
    return short


def _encoded(character: str) -> int:
    """How many bytes it takes in a grpc-message."""
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())


def status(code: Code, message: str, details: Sequence[Message] = ()) -> Status:
    """The status as a message."""
    out = Status(code=int(code), message=clip(message))
    for detail in details:
        out.details.add().Pack(detail)
    return out


def trailers(
    code: Code, message: str, details: Sequence[Message] = (), more: Metadata = ()
) -> tuple[tuple[str, str | bytes], ...]:
    """`more`, and the details if there are any."""
    if not details:
        return tuple(more)
    return (*more, (DETAILS, status(code, message, details).SerializeToString()))


def read(metadata: Metadata) -> Status | None:
    """The status in trailing metadata; None if there is none, or it is no Status."""
    for key, value in metadata:
        if key == DETAILS:
            try:
                return Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:
                return None
    return None


def find(rich: Status | None, kind: type[M]) -> M | None:
    """The first detail of this type."""
    for detail in () if rich is None else rich.details:
        if detail.Is(kind.DESCRIPTOR):
            out = kind()
            try:
                detail.Unpack(out)
            except DecodeError:
                return None
            return out
    return None


def details_of(metadata: Metadata) -> str:
    """What the details of a rich status say, in one line: those that many services use in words, others by their type."""
    rich = read(metadata)
    told = [] if rich is None else [_detail(detail) for detail in rich.details]
    return clip("; ".join(filter(None, told)), MESSAGE_LIMIT // 2)


def _detail(detail: Any) -> str:
    name = detail.type_url.rpartition("/")[2]
    kind = KINDS.get(name)
    inner = kind() if kind is not None else None
    try:
        if inner is None or not detail.Unpack(inner):
            return str(name)
    except DecodeError:
        return str(name)
    match inner:
        case ErrorInfo():
            more = ", ".join(f"{key}={value}" for key, value in sorted(inner.metadata.items()))
            return f"{inner.reason} of {inner.domain}" + (f": {more}" if more else "")
        case BadRequest():
            return "; ".join(f"{one.field}: {one.description}" for one in inner.field_violations)
        case QuotaFailure() | PreconditionFailure():
            return "; ".join(f"{one.subject}: {one.description}" for one in inner.violations)
        case ResourceInfo():
            return f"{inner.resource_type} {inner.resource_name}: {inner.description}"
        case _:
            return str(name)


def pushback(metadata: Metadata) -> int | None:
    """The peer's wish in milliseconds before another attempt: None = none given, negative or unreadable = make none."""
    for key, value in metadata:
        if key == PUSHBACK:
            try:
                return int(value)
            except ValueError:
                return -1
    return None
