"""A protobuf message of any type → values, by protobuf's own JSON mapping but for three things.

Integers of 64 bits are integers and not texts, because expressions calculate with them; fields have their proto names; and NaN
or an infinity is an error, because a value is JSON. So not `json_format.MessageToDict`.
Fields without presence are always there: `output.units` must not fail because it happens to be 0.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from dispatcher.wire.own_forms import TEXTS, WRAPPERS
from dispatcher.wire.to_message import entry_of
from dispatcher.wire.to_scalar import SINGLE
from fanmesh.jsontext import ANSWER_DEPTH, PayloadError
from fanmesh.model.values import JsonValue
from fanmesh.structs import from_struct, from_struct_value

F = FieldDescriptor
Convert = Callable[[Any, int], JsonValue]


class Reader:
    """Reads messages whose types are in `pool`. What to do with a type is worked out once."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._types: dict[str, Convert] = {}

    def read(self, message: Message, depth: int = 0) -> JsonValue:
        """The value of a message. PayloadError names the path of NaN, infinities, and whatever is nested too deep."""
        if depth > ANSWER_DEPTH:
            raise PayloadError(f"nested deeper than {ANSWER_DEPTH} levels")
        kind: Any = message.DESCRIPTOR
        convert = self._types.get(kind.full_name)
        if convert is None:
            convert = self._types[kind.full_name] = self._conversion(kind)
        return convert(message, depth)

    def _conversion(self, kind: Descriptor) -> Convert:
        name = kind.full_name
        if name in WRAPPERS:
            inner = self._single(kind.fields_by_name["value"])
            return lambda message, depth: inner(message.value, depth)
        if name == "google.protobuf.Any":
            return self._any
        return OWN.get(name) or self._fields(kind)

    def _fields(self, kind: Descriptor) -> Convert:
        plan = [(field.name, self._of(field), field.has_presence) for field in kind.fields]
        extendable = kind.is_extendable

        def convert(message: Any, depth: int) -> JsonValue:
            out: dict[str, JsonValue] = {}
            for name, of, presence in plan:
                if presence and not message.HasField(name):
                    continue
                try:
                    out[name] = of(getattr(message, name), depth + 1)
                except PayloadError as error:
                    raise error.inside(name) from None
            if extendable:
                self._extensions(message, out, depth + 1)
            return out

        return convert

    def _extensions(self, message: Any, out: dict[str, JsonValue], depth: int) -> None:
        for field, value in message.ListFields():
            if field.is_extension:
                name = f"[{field.full_name}]"
                try:
                    out[name] = self._of(field)(value, depth)
                except PayloadError as error:
                    raise error.inside(name) from None

    def _of(self, field: FieldDescriptor) -> Convert:
        if not field.is_repeated:
            return self._single(field)
        if (entry := entry_of(field)) is not None:
            return self._map(self._single(entry[1]))
        return self._list(self._single(field))

    def _single(self, field: FieldDescriptor) -> Convert:
        match field.cpp_type:
            case F.CPPTYPE_MESSAGE:
                return self.read
            case F.CPPTYPE_DOUBLE:
                return _double
            case F.CPPTYPE_FLOAT:
                return _float
            case F.CPPTYPE_ENUM:
                return _enum(field.enum_type)
            case F.CPPTYPE_STRING:
                return _bytes if field.type == F.TYPE_BYTES else _string
            case _:
                return _as_it_is

    def _list(self, of: Convert) -> Convert:
        def convert(items: Any, depth: int) -> JsonValue:
            out: list[JsonValue] = []
            for index, item in enumerate(items):
                try:
                    out.append(of(item, depth + 1))
                except PayloadError as error:
                    raise error.inside(index) from None
            return out

        return convert

    def _map(self, of: Convert) -> Convert:
        def convert(items: Any, depth: int) -> JsonValue:
            out: dict[str, JsonValue] = {}
            for key in items:
                name = ("true" if key else "false") if isinstance(key, bool) else str(_string(key, depth))
                try:
                    out[name] = of(items[key], depth + 1)
                except PayloadError as error:
                    raise error.inside(name) from None
            return out

        return convert

    def _any(self, message: Any, depth: int) -> JsonValue:
        """Its fields beside `@type`; `value` for a form of its own, and base64 for a type that nobody has described."""
        url = message.type_url
        if not url:
            return {}
        try:
            kind = self._pool.FindMessageTypeByName(url.rpartition("/")[2])
        except KeyError:
            return {"@type": url, "value": _bytes(message.value, depth)}
        try:
            inner = GetMessageClass(kind).FromString(message.value)
        except DecodeError:
            raise PayloadError(f"the bytes are not a {kind.full_name}") from None
        value = self.read(inner, depth + 1)
        if kind.full_name in OWN or kind.full_name in WRAPPERS or kind.full_name == "google.protobuf.Any":
            return {"@type": url, "value": value}
        return {"@type": url, **value} if isinstance(value, dict) else value


def _as_it_is(value: Any, _depth: int) -> JsonValue:
    known: JsonValue = value
    return known


def _string(value: Any, _depth: int) -> JsonValue:
    """proto2 lets strings be anything, and shows those that are no text as bytes."""
    if isinstance(value, bytes):
        raise PayloadError("a string that is not UTF-8")
    return _as_it_is(value, _depth)


def _bytes(value: Any, _depth: int) -> JsonValue:
    return base64.b64encode(value).decode()


def _double(value: Any, _depth: int) -> JsonValue:
    number: float = value
    if not math.isfinite(number):
        raise PayloadError(f"{number} is not JSON")
    return number


def _float(value: Any, depth: int) -> JsonValue:
    """The shortest decimal that is this float of 32 bits: 0.1 and not 0.10000000149011612."""
    number = _double(value, depth)
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        try:
            if SINGLE.unpack(SINGLE.pack(short))[0] == number:
                return short
        except OverflowError:  # the largest floats, rounded up
            continue
    return number


def _enum(kind: Any) -> Convert:
    """By name; by number where the descriptors know no name, as JSON's mapping has it."""
    if kind.full_name == "google.protobuf.NullValue":
        return lambda _value, _depth: None
    names = {number: value.name for number, value in kind.values_by_number.items()}
    return lambda value, _depth: names.get(value, value)


def _text(message: Any, _depth: int) -> JsonValue:
    try:
        text: str = message.ToJsonString()
    except (ValueError, OverflowError) as error:
        raise PayloadError(str(error).rstrip(".")) from None
    return text


def _list_value(message: Any, _depth: int) -> JsonValue:
    out: list[JsonValue] = []
    for index, item in enumerate(message.values):
        try:
            out.append(from_struct_value(item))
        except PayloadError as error:
            raise error.inside(index) from None
    return out


OWN: Final[Mapping[str, Convert]] = {
    **dict.fromkeys(TEXTS, _text),
    "google.protobuf.Struct": lambda message, _depth: from_struct(message),
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Value": lambda message, _depth: from_struct_value(message),
}
"""Messages that have a JSON form of their own, but for wrappers and Any."""
