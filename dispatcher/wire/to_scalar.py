"""A JSON value → what a field that is no message is set to: numbers in range, whole texts, nothing rounded or guessed."""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from fanmesh.jsontext import PayloadError
from fanmesh.model.values import JsonValue

F = FieldDescriptor

INTEGERS: Final = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,19}")
NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""Numbers as text: as JSON writes them, and not all that Python reads, such as `1_000`. One integer has one text."""

TEXTUAL_FLOATS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
SINGLE: Final = struct.Struct("<f")


def scalar(field: FieldDescriptor, value: JsonValue) -> Any:
    """What a field that is no message is set to. PayloadError if that is no value for it."""
    kind = field.cpp_type
    if (bounds := INTEGERS.get(kind)) is not None:
        return _integer(value, *bounds)
    match kind:
        case F.CPPTYPE_BOOL:
            if isinstance(value, bool):
                return value
            raise PayloadError(f"{shown(value)} is not true or false")
        case F.CPPTYPE_FLOAT | F.CPPTYPE_DOUBLE:
            return _float(value, single=kind == F.CPPTYPE_FLOAT)
        case F.CPPTYPE_ENUM:
            return _enum(field, value)
        case _:
            if not isinstance(value, str):
                raise PayloadError(f"{shown(value)} is not a string")
            return value if field.type == F.TYPE_STRING else _bytes(value)


def map_key(field: FieldDescriptor, key: str) -> Any:
    """The key of a map: JSON has only texts."""
    if field.cpp_type == F.CPPTYPE_BOOL:
        if key in {"true", "false"}:
            return key == "true"
        raise PayloadError("the key is not true or false")
    return scalar(field, key)


def _integer(value: JsonValue, least: int, most: int) -> int:
    match value:
        case bool():
            number = None
        case int():
            number = value
        case float() if value.is_integer():
            number = int(value)
        case str() if INTEGER.fullmatch(value):
            number = int(value)
        case _:
            number = None
    if number is None:
        raise PayloadError(f"{shown(value)} is not a whole number")
    if not least <= number <= most:
        raise PayloadError(f"{number} is not in [{least}, {most}]")
    return number


def _float(value: JsonValue, *, single: bool) -> float:
    """The nearest number, as a decimal fraction means it; but an integer means itself."""
    whole: int | None = None
    match value:
        case bool():
            number = None
        case int():
            number, whole = float(value), value
        case float():
            number = value
        case str() if value in TEXTUAL_FLOATS:
            number = float(value)
        case str() if NUMBER.fullmatch(value) and math.isfinite(number := float(value)):
            whole = int(value) if INTEGER.fullmatch(value) else None
        case _:
            number = None
    if number is None:
        raise PayloadError(f"{shown(value)} is not a number")
    kept = number
    if single:
        try:
            (kept,) = SINGLE.unpack(SINGLE.pack(number))
        except OverflowError:
            raise PayloadError(f"{number:g} is too large for a float") from None
    if whole is not None and kept != whole:
        raise PayloadError(f"{whole} is no {'float' if single else 'double'}: it would be rounded")
    return number


def _enum(field: FieldDescriptor, value: JsonValue) -> int:
    kind: Any = field.enum_type
    if isinstance(value, str):
        if (named := kind.values_by_name.get(value)) is None:
            raise PayloadError(f"{shown(value)} is none of {kind.full_name}: {', '.join(kind.values_by_name)}")
        return int(named.number)
    if value is None and kind.full_name == "google.protobuf.NullValue":
        return 0
    number = _integer(value, -(2**31), 2**31 - 1)
    if kind.is_closed and number not in kind.values_by_number:
        raise PayloadError(f"{number} is none of {kind.full_name}")
    return number


def _bytes(text: str) -> bytes:
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise PayloadError("the text is not base64") from None


def shown(value: JsonValue) -> str:
    """A value as its writer would recognise it, at most 40 characters."""
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case dict():
            text = "a mapping"
        case list():
            text = "a list"
        case _:
            text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
