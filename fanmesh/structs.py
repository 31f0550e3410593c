"""google.protobuf.Struct ⇄ values, by hand: the library's own conversion costs thirty times as much.

A Struct holds numbers as doubles. Beyond ±2^53 a double no longer says which integer was meant, so such numbers are refused,
in both directions, instead of being a little wrong.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from fanmesh.jsontext import PayloadError
from fanmesh.model.values import JsonValue

EXACT: Final = 2**53
DEPTH: Final = 30
"""Deepest nesting that goes into a Struct: protobuf readers stop at 100 levels, of which each level here takes three."""

_USE_JSON: Final = "is beyond ±2^53; use `json`"


def from_struct(struct: Struct) -> dict[str, JsonValue]:
    """The value of a Struct; integral numbers as int. PayloadError names the path of NaN, infinities and large numbers."""
    out: dict[str, JsonValue] = {}
    for key, item in struct.fields.items():
        try:
            out[key] = from_struct_value(item)
        except PayloadError as e:
            raise e.inside(key) from None
    return out


def from_struct_value(item: Value) -> JsonValue:
    """The value of a `google.protobuf.Value`. One without a kind is null."""
    match item.WhichOneof("kind"):
        case "string_value":
            return item.string_value
        case "number_value":
            return _number(item.number_value)
        case "struct_value":
            return from_struct(item.struct_value)
        case "list_value":
            return _from_list(item.list_value)
        case "bool_value":
            return item.bool_value
        case _:
            return None


def _from_list(items: ListValue) -> list[JsonValue]:
    out: list[JsonValue] = []
    for index, item in enumerate(items.values):
        try:
            out.append(from_struct_value(item))
        except PayloadError as e:
            raise e.inside(index) from None
    return out


def _number(number: float) -> int | float:
    if -EXACT <= number <= EXACT:
        return int(number) if number.is_integer() else number
    if number - number != 0:
        raise PayloadError(f"{number} is not JSON")
    raise PayloadError(f"{number:g} {_USE_JSON}")


def to_struct(value: dict[str, JsonValue], depth: int = 0, into: Struct | None = None) -> Struct:
    """The Struct of a map. PayloadError names the path of integers beyond ±2^53, and refuses more than 30 levels."""
    struct = Struct() if into is None else into
    fields = struct.fields
    if depth >= DEPTH:
        raise PayloadError(f"nested deeper than {DEPTH} levels; use `json`")
    for key, item in value.items():
        try:
            to_struct_value(item, depth + 1, fields[key])
        except PayloadError as e:
            raise e.inside(key) from None
    return struct


def to_struct_value(value: JsonValue, depth: int = 0, into: Value | None = None) -> Value:
    """The `google.protobuf.Value` of a JSON value; see `to_struct`."""
    out = Value() if into is None else into
    match value:
        case str():
            out.string_value = value
        case bool():
            out.bool_value = value
        case int():
            if not -EXACT <= value <= EXACT:
                raise PayloadError(f"{value} {_USE_JSON}")
            out.number_value = value
        case float():
            if not -EXACT <= value <= EXACT:
                raise PayloadError(f"{value} is not JSON" if value - value != 0 else f"{value:g} {_USE_JSON}")
            out.number_value = value
        case dict():
            out.struct_value.SetInParent()
            to_struct(value, depth, out.struct_value)
        case list():
            _to_list(value, depth, out.list_value)
        case None:
            out.null_value = 0  # type: ignore[assignment]  # the stubs want the enum, which is an int at run time
    return out


def _to_list(items: list[JsonValue], depth: int, into: ListValue) -> None:
    into.SetInParent()
    if depth >= DEPTH:
        raise PayloadError(f"nested deeper than {DEPTH} levels; use `json`")
    add = into.values.add
    for index, item in enumerate(items):
        try:
            to_struct_value(item, depth + 1, add())
        except PayloadError as e:
            raise e.inside(index) from None
