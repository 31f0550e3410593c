"""Values → a protobuf message of any type, by protobuf's own JSON mapping, and strictly.

By hand and not with `json_format.ParseDict`: that takes `[]` for a message and rubbish for base64, speaks of Python's types,
and says where in the mapping it stopped in three different ways. Whoever writes an `input` wants the path of what is wrong.
Beyond strictness the rules are the same: fields by their proto or their JSON name, integers also as text, null for "not set".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from dispatcher.wire.own_forms import TEXTS, WRAPPERS
from dispatcher.wire.to_scalar import map_key, scalar, shown
from fanmesh.jsontext import PayloadError
from fanmesh.model.values import JsonValue
from fanmesh.structs import to_struct, to_struct_value


class NoSuchField(PayloadError):  # noqa: N818  (what it says)
    """A key that is no field. `wrong` is the key, `known` the fields that there are."""

    def __init__(self, problem: str, wrong: str, known: tuple[str, ...]) -> None:
        super().__init__(problem)
        self.wrong = wrong
        self.known = known


def fields_of(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields by every name that they may have; the proto names first."""
    fields = {field.name: field for field in descriptor.fields}
    return fields | {field.json_name: field for field in descriptor.fields if field.json_name not in fields}


def entry_of(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    """Key and value of a map; None = the field is none."""
    kind = field.message_type
    if kind is None or not kind.GetOptions().map_entry:
        return None
    return kind.fields_by_name["key"], kind.fields_by_name["value"]


class Writer:
    """Fills messages whose types are in `pool`. What it has looked up once it keeps."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._fields: dict[str, dict[str, FieldDescriptor]] = {}

    def fill(self, message: Message, value: JsonValue) -> None:
        """Put a value into an empty message. PayloadError names the path of what does not fit."""
        name = message.DESCRIPTOR.full_name
        if name.startswith("google.protobuf.") and (own := OWN.get(name)) is not None:
            own(self, message, value)
            return
        if not isinstance(value, dict):
            raise PayloadError(f"{shown(value)} is not a mapping, and this is a {name}")
        for key, item in value.items():
            try:
                self._set(message, key, item)
            except PayloadError as error:
                raise error.inside(key) from None

    def field(self, descriptor: Any, key: str) -> FieldDescriptor:
        """The field of that name. NoSuchField if there is none."""
        fields = self._fields.get(descriptor.full_name)
        if fields is None:
            fields = self._fields[descriptor.full_name] = fields_of(descriptor)
        field = fields.get(key)
        if field is None:
            known = tuple(field.name for field in descriptor.fields)
            raise NoSuchField(f"{descriptor.full_name} has no field {key!r}", key, known)
        return field

    def _set(self, message: Message, key: str, value: JsonValue) -> None:
        field = self.field(message.DESCRIPTOR, key)
        if value is None and not _takes_null(field):
            return
        oneof = field.containing_oneof
        if oneof is not None and (taken := message.WhichOneof(oneof.name)) is not None:
            raise PayloadError(f"{taken} is given already, and of {oneof.name} there can be one")
        if field.is_repeated:
            if (entry := entry_of(field)) is None:
                self._list(field, getattr(message, field.name), value)
            else:
                self._map(entry, getattr(message, field.name), value)
        elif field.message_type is None:
            setattr(message, field.name, scalar(field, value))
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self.fill(inner, value)

    def _list(self, field: FieldDescriptor, into: Any, value: JsonValue) -> None:
        if not isinstance(value, list):
            raise PayloadError(f"{shown(value)} is not a list, and this field is repeated")
        for index, item in enumerate(value):
            try:
                if field.message_type is not None:
                    self.fill(into.add(), item)
                else:
                    into.append(scalar(field, item))
            except PayloadError as error:
                raise error.inside(index) from None

    def _map(self, entry: tuple[FieldDescriptor, FieldDescriptor], into: Any, value: JsonValue) -> None:
        if not isinstance(value, dict):
            raise PayloadError(f"{shown(value)} is not a mapping")
        keys, values = entry
        for key, item in value.items():
            try:
                name = map_key(keys, key)
                if values.message_type is not None:
                    self.fill(into[name], item)
                else:
                    into[name] = scalar(values, item)
            except PayloadError as error:
                raise error.inside(key) from None

    def any(self, message: Any, value: JsonValue) -> None:
        """`{"@type": "type.googleapis.com/shop.Money", …}`: the fields of that type beside it, or its own form as `value`."""
        if not isinstance(value, dict) or not isinstance(url := value.get("@type"), str):
            raise PayloadError("an Any is a mapping with its type URL as @type")
        try:
            kind = self._pool.FindMessageTypeByName(url.rpartition("/")[2])
        except KeyError:
            raise PayloadError(f"nobody knows the type {url!r}").inside("@type") from None
        inner = GetMessageClass(kind)()
        rest = {key: item for key, item in value.items() if key != "@type"}
        if kind.full_name in OWN:
            if (other := next((key for key in rest if key != "value"), None)) is not None:
                problem = f"a {kind.full_name} in an Any has its `value`, and no {other!r}"
                raise NoSuchField(problem, other, ("value",)).inside(other)
            self.fill(inner, rest.get("value"))
        else:
            self.fill(inner, rest)
        message.type_url = url if "/" in url else f"type.googleapis.com/{url}"
        message.value = inner.SerializeToString()


def _takes_null(field: FieldDescriptor) -> bool:
    """Whether null is a value of the field, and not the lack of one."""
    kind = field.message_type
    return kind is not None and kind.full_name == "google.protobuf.Value" and not field.is_repeated


def _text(_writer: Writer, message: Any, value: JsonValue) -> None:
    if not isinstance(value, str):
        raise PayloadError(f"{shown(value)} is not the text of a {message.DESCRIPTOR.full_name}")
    try:
        message.FromJsonString(value)
    except (ValueError, OverflowError) as error:
        raise PayloadError(str(error).rstrip(".")) from None


def _wrapped(_writer: Writer, message: Any, value: JsonValue) -> None:
    message.value = scalar(message.DESCRIPTOR.fields_by_name["value"], value)


def _struct(_writer: Writer, message: Any, value: JsonValue) -> None:
    if not isinstance(value, dict):
        raise PayloadError(f"{shown(value)} is not a mapping")
    to_struct(value, into=message)


def _list_value(_writer: Writer, message: Any, value: JsonValue) -> None:
    if not isinstance(value, list):
        raise PayloadError(f"{shown(value)} is not a list")
    for index, item in enumerate(value):
        try:
            to_struct_value(item, 1, message.values.add())
        except PayloadError as error:
            raise error.inside(index) from None


def _any_value(_writer: Writer, message: Any, value: JsonValue) -> None:
    to_struct_value(value, into=message)


Own = Callable[[Writer, Any, JsonValue], None]

OWN: Final[Mapping[str, Own]] = {
    **dict.fromkeys(TEXTS, _text),
    **dict.fromkeys(WRAPPERS, _wrapped),
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Value": _any_value,
    "google.protobuf.Any": Writer.any,
}
"""Messages that have a JSON form of their own."""
