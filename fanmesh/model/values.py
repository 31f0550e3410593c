"""The values that flow through a plan: plain JSON, or something that nobody opens.

Plain Python values and not protobuf messages, because expressions, merges and local coroutines all read them, and reading a
`Struct` costs thirty times a dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
"""Integers lie in the union of int64 and uint64, floats are finite, strings hold no lone surrogates."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A protobuf message of unknown type, or a blob: carried whole, read by nobody.

    `media_type` is the type URL of a message, or the content type of a blob.
    """

    media_type: str
    data: bytes
    is_message: bool


Value: TypeAlias = JsonValue | Opaque


class Malformed(ValueError):  # noqa: N818  (what the data is)
    """Data that is no value: what is wrong, with the path of the field. The sender's mistake, never ours."""
