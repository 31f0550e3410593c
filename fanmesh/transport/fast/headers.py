"""gRPC's header fields, to and from what they mean: metadata, status messages, timeouts. Pure.

Written against "gRPC over HTTP2", the protocol document of the gRPC project, whose words for the parts are kept: Timeout,
Status-Message. No HTTP library does this: HTTP knows neither `-bin` keys nor percent-encoded trailers.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from fanmesh.model.times import MS, SECOND, US
from fanmesh.transport.fast.defences import MAX_FIELDS
from fanmesh.transport.port import Metadata
from fanmesh.transport.sendable import KEY

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""A header block, as HTTP/2 has it."""

_PLAIN: Final = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")
_GRPC: Final = b"application/grpc"
_GRPC_MORE: Final = (_GRPC + b"+", _GRPC + b";")
DIGITS: Final = 8
"""Of a timeout, at most."""

_UNITS: Final = {b"H": 3600 * SECOND, b"M": 60 * SECOND, b"S": SECOND, b"m": MS, b"u": US, b"n": 1}
_MOST: Final = 99_999_999

OURS: Final = frozenset(
    {
        *(b":status", b":method", b":scheme", b":path", b":authority", b"te", b"content-type", b"host", b"connection"),
        *(b"grpc-status", b"grpc-message", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"grpc-message-type"),
    }
)
"""Fields of the protocol's own: no metadata, neither way."""

FIELD_OVERHEAD: Final = 32
"""What HTTP/2 adds to the bytes of a field when it says how large a header list is (RFC 9113, 6.5.2)."""


class BadMetadata(ValueError):  # noqa: N818  (what it is)
    """Metadata that cannot be sent. The text names the key, never the value."""


def size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of a header list, as SETTINGS_MAX_HEADER_LIST_SIZE counts."""
    return sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fields)


def fits(fields: Fields, limit: int) -> bool:
    """Whether a peer takes this header list: `limit` is the most bytes that it has announced.

    HTTP/2 has no way to announce how many fields: as many as we take, since our own connections end beyond.
    """
    return len(fields) <= MAX_FIELDS and size(fields) <= limit


def is_grpc(content_type: bytes) -> bool:
    """Whether it is gRPC's own: `application/grpc`, with a `+` and what the messages are, with parameters. Not gRPC-Web's."""
    return content_type == _GRPC or content_type.startswith(_GRPC_MORE)


def encode(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Metadata as fields. BadMetadata for keys and values that HTTP/2 would refuse, or that would change the call."""
    out: list[tuple[bytes, bytes]] = []
    for key, value in metadata:
        name = _name(key)
        if name.endswith(b"-bin"):
            out.append((name, b64encode(value.encode() if isinstance(value, str) else value).rstrip(b"=")))
            continue
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not (text.isascii() and text.isprintable()):
            raise BadMetadata(f"the value of {key!r} is not printable ASCII; keys that end in -bin take bytes")
        out.append((name, text.strip(" ").encode()))
    return out


@lru_cache(1024)
def _name(key: str) -> bytes:
    """A key as a field's name. The same few keys come with every call."""
    if not KEY.fullmatch(key):
        raise BadMetadata(f"{key!r} is not a key of metadata: lower-case letters, digits, `_`, `.`, `-`")
    name = key.encode()
    if name in OURS:
        raise BadMetadata(f"{key!r} is set by gRPC itself")
    return name


def decode(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata in a header block, in order. What is no base64 under a `-bin` key is left out, as nobody could use it."""
    out: list[tuple[str, str | bytes]] = []
    for name, value in fields:
        if name in OURS:
            continue
        key = name.decode("latin-1")
        if not key.endswith("-bin"):
            out.append((key, value.decode("latin-1")))
            continue
        for part in value.split(b","):
            try:
                out.append((key, _from_base64(part.strip())))
            except NotBase64:
                continue
    return tuple(out)


def _from_base64(text: bytes) -> bytes:
    """Bytes of base64 with or without its padding."""
    bare = text.rstrip(b"=")
    return b64decode(bare + b"=" * (-len(bare) % 4), validate=True)


def accepts_gzip(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the sender of a header block says that it understands gzip."""
    return any(
        name == b"grpc-accept-encoding" and b"gzip" in [coding.strip() for coding in value.split(b",")]
        for name, value in fields
    )


def percent_encode(message: str) -> bytes:
    """A status message as it travels: UTF-8, printable ASCII as it is, the rest and `%` as %XX.

    So are spaces at either end, which gRPC would let pass: HTTP/2 has none there (RFC 9113, 8.2.1), and an engine that insists
    on it, as our own does, answers the whole header block, and so the status, with PROTOCOL_ERROR.
    """
    text = quote(message.encode(errors="replace"), safe=_PLAIN)
    if text[:1] == " ":
        text = "%20" + text[1:]
    return (text[:-1] + "%20" if text[-1:] == " " else text).encode()


def percent_decode(message: bytes) -> str:
    """A status message. What is no proper encoding is kept as it came: a message is for people."""
    return unquote_to_bytes(message).decode(errors="replace") if b"%" in message else message.decode(errors="replace")


def timeout(ns: int) -> bytes:
    """So many ns > 0 as grpc-timeout, at most eight digits, rounded up: a peer must not give up before its caller."""
    us = -(-ns // US)
    if us <= _MOST:
        return b"%du" % max(us, 1)
    if (ms := -(-us // 1000)) <= _MOST:
        return b"%dm" % ms
    return b"%dS" % min(-(-us // 1_000_000), _MOST)


@lru_cache(1024)
def timeout_ns(value: bytes) -> int | None:
    """A grpc-timeout in nanoseconds; None if it is none. Callers round, and so say the same few often."""
    digits, unit = value[:-1], _UNITS.get(value[-1:])
    return int(digits) * unit if unit is not None and digits.isdigit() and len(digits) <= DIGITS else None
