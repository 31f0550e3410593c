"""Protobuf's well-known messages that are not a mapping of their fields in JSON."""

from __future__ import annotations

from typing import Final

TEXTS: Final = ("google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask")
"""A text: RFC 3339, seconds with an s, paths with commas."""

WRAPPERS: Final = tuple(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
"""The one value inside."""
