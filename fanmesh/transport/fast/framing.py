"""gRPC's messages in a stream of bytes: five bytes before each one say whether it is compressed and how long it is. Pure.

What has come is kept as bytes and cut when somebody reads: a peer that sends a million empty messages costs five megabytes of
its window, not a million objects.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Final

from fanmesh.model.fault import Code

HEAD: Final = 5
_HEAD: Final = Struct(">BI")  # whether it is compressed, its length
_GZIP: Final = 31  # zlib's word for "gzip, any window"

SMALL: Final = 1024
"""Messages below this many bytes are never compressed: they fit one packet anyway, and gzip itself takes 18 bytes of each."""

_FAST: Final = 1
"""zlib's level: the event loop waits, 12 ms for a MB of JSON. The usual 6 needs thrice that for a tenth less."""


class BadMessage(Exception):  # noqa: N818  (what it is)
    """A message that cannot be taken: too large, or not what its head says. Ends the call with `code`."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


head: Final = Struct(">xI").pack
"""What precedes an uncompressed message of so many bytes."""


def deflate(message: bytes) -> bytes | None:
    """The message compressed, by gzip; None if it should go as it is: small, or not smaller for it."""
    if len(message) < SMALL:
        return None
    packed = zlib.compress(message, _FAST, _GZIP)
    return packed if len(packed) < len(message) else None


def packed_head(size: int) -> bytes:
    """What precedes a compressed message of so many bytes."""
    return _HEAD.pack(1, size)


def goaway(last_stream: int, error_code: int, debug: bytes) -> bytes:
    """A GOAWAY frame, for a connection whose engine has given up and writes none itself."""
    body = last_stream.to_bytes(4, "big") + error_code.to_bytes(4, "big") + debug
    return len(body).to_bytes(3, "big") + b"\x07\0\0\0\0\0" + body


def inflate(payload: bytes, encoding: bytes, limit: int) -> bytes:
    """A compressed message of at most `limit` bytes. BadMessage."""
    if encoding != b"gzip":
        raise BadMessage(Code.INTERNAL, f"a compressed message in a call whose grpc-encoding is {encoding.decode('latin-1')!r}")
    inflater = zlib.decompressobj(_GZIP)
    try:
        out = inflater.decompress(payload, limit + 1)
    except zlib.error:
        raise BadMessage(Code.INTERNAL, "a compressed message that is no gzip") from None
    if len(out) > limit:
        raise too_large(f"at least {limit + 1}", limit)
    if not inflater.eof:
        raise BadMessage(Code.INTERNAL, "a compressed message that is cut short")
    if inflater.unused_data:  # RFC 1952 allows further members; to unpack many small ones would take the square of their number
        raise BadMessage(Code.INTERNAL, "a compressed message that is more than one gzip")
    return out


def too_large(length: object, limit: int) -> BadMessage:
    """The refusal of a message over the receive limit, in the words of every gRPC implementation: programs look for them."""
    return BadMessage(Code.RESOURCE_EXHAUSTED, f"received message larger than max ({length} vs. {limit})")


class Inbox:
    """What has arrived of one direction of a call. `encoding` is its grpc-encoding, `limit` the most bytes of a message."""

    __slots__ = ("_bytes", "encoding", "limit")

    def __init__(self, limit: int, encoding: bytes = b"identity") -> None:
        self.limit = limit
        self.encoding = encoding
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """More bytes."""
        self._bytes += data

    def clear(self) -> None:
        """Forget what nobody will read."""
        self._bytes = bytearray()

    def take(self) -> tuple[bytes, int] | None:
        """The next message and the bytes that it took, or None if it is not all there yet. BadMessage."""
        data = self._bytes
        if len(data) < HEAD:
            return None
        flags, length = _HEAD.unpack_from(data)
        if flags > 1:
            raise BadMessage(Code.INTERNAL, f"a message with the flags {flags:#04x}")
        if length > self.limit:
            raise too_large(length, self.limit)
        used = HEAD + length
        if len(data) < used:
            return None
        with memoryview(data) as view:
            message = bytes(view[HEAD:used])
        del data[:used]
        return (inflate(message, self.encoding, self.limit) if flags else message), used


class Only:
    """The one message of a direction that has one. Kept as the frames came, so that a large one is put together once."""

    __slots__ = ("_first", "_flags", "_frames", "_missing", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._first = b""  # the first frame, with all of the head; most messages are no more than this
        self._frames: list[bytes] = []  # the others
        self._flags = 0
        self._missing = -1  # bytes of the message that have not come; -1: its head has not

    def feed(self, data: bytes) -> None:
        """A frame's bytes. BadMessage as soon as it is clear that there are too many."""
        if self._missing < 0:
            self._first = data = self._first + data if self._first else data
            if len(data) < HEAD:
                return
            self._flags, length = _HEAD.unpack_from(data)
            if length > self.limit:
                raise too_large(length, self.limit)
            self._missing = missing = HEAD + length - len(data)
        else:
            self._frames.append(data)
            self._missing = missing = self._missing - len(data)
        if missing < 0:
            raise BadMessage(Code.INTERNAL, "more than one message where one belongs")

    def drop(self) -> None:
        """Forget what nobody will read."""
        self._first, self._frames = b"", []

    def message(self, encoding: bytes) -> bytes | None:
        """The message; None if there is none at all. BadMessage if it is none."""
        if self._missing or self._flags:
            return _odd(b"".join((self._first, *self._frames)), encoding, self.limit)
        first = self._first[HEAD:]
        return b"".join((first, *self._frames)) if self._frames else first


def _odd(data: bytes, encoding: bytes, limit: int) -> bytes | None:
    """A message that is compressed, missing or broken."""
    inbox = Inbox(limit, encoding)
    inbox.feed(data)
    taken = inbox.take()
    if len(inbox):
        raise BadMessage(Code.INTERNAL, "more than one message where one belongs" if taken else "a message that is cut short")
    return None if taken is None else taken[0]
