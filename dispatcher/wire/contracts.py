"""What a foreign method takes and returns, from its descriptors: a pool of its own for each set.

Not protobuf's default pool: two services may each have a `common.proto`, and one of them would win. A pool is a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from dispatcher.model.method import Method, Misfit, NotDescribed
from dispatcher.wire.from_message import Reader
from dispatcher.wire.to_message import OWN, NoSuchField, Writer, entry_of
from dispatcher.wire.to_scalar import map_key, scalar, shown
from fanmesh.jsontext import PayloadError
from fanmesh.model.values import JsonValue, Opaque, Value

Step = str | int

WELL_KNOWN: Final = (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
"""Imported so that protobuf's default pool has their descriptors."""


class Contract:
    """One method. `path` is `/package.Service/Method`."""

    __slots__ = ("_input", "_output", "_reader", "_writer", "path", "streams")

    def __init__(self, name: str, method: MethodDescriptor, pool: descriptor_pool.DescriptorPool) -> None:
        self.path = f"/{name}"
        self.streams = bool(method.server_streaming)
        self._input: type[Message] = GetMessageClass(method.input_type)
        self._output: type[Message] = GetMessageClass(method.output_type)
        self._writer = Writer(pool)
        self._reader = Reader(pool)

    def request(self, value: Value) -> bytes:
        """The serialised request of a value; null is an empty message. PayloadError names the field that is wrong.

        A message of the very type, which a caller may send as it is, is not opened.
        """
        kind = self._input.DESCRIPTOR
        if isinstance(value, Opaque):
            if value.is_message and value.media_type.rpartition("/")[2] == kind.full_name:
                return value.data
            raise PayloadError(f"{value.media_type or 'a blob'} is not a {kind.full_name}, nor JSON that could become one")
        message = self._input()
        if value is not None or kind.full_name == "google.protobuf.Value":
            self._writer.fill(message, value)
        try:
            return message.SerializeToString()
        except EncodeError as error:  # a required field of proto2
            raise PayloadError(str(error)) from None

    def response(self, data: bytes) -> JsonValue:
        """The value of a serialised response. PayloadError if it is none, or holds what JSON cannot say."""
        try:
            message = self._output.FromString(data)
        except DecodeError:
            raise PayloadError(f"the bytes are not a {self._output.DESCRIPTOR.full_name}") from None
        return self._reader.read(message)

    def misfits(self, template: JsonValue) -> Sequence[Misfit]:
        """What of a branch's `input` can never become the request, as far as that can be seen without evaluating it."""
        return tuple(self._misfits(template, self._input.DESCRIPTOR, ()))

    def _misfits(self, template: JsonValue, kind: Any, path: tuple[Step, ...]) -> Iterator[Misfit]:
        if _may_be_anything(template):
            return
        if kind.full_name in OWN:
            yield from self._tried(template, kind, path)
        elif not isinstance(template, dict):
            yield Misfit(path, f"{shown(template)} is not a mapping, and this is a {kind.full_name}")
        else:
            yield from self._fields(template, kind, path)

    def _fields(self, template: dict[str, JsonValue], kind: Descriptor, path: tuple[Step, ...]) -> Iterator[Misfit]:
        taken: dict[str, str] = {}
        for key, item in template.items():
            try:
                field = self._writer.field(kind, key)
            except NoSuchField as none:
                yield Misfit((*path, key), none.problem, none.wrong, none.known)
                continue
            oneof = field.containing_oneof
            if oneof is not None and item is not None and (other := taken.setdefault(oneof.name, key)) != key:
                yield Misfit((*path, key), f"{other} is given already, and of {oneof.name} there can be one")
                continue
            yield from self._field(item, field, (*path, key))

    def _field(self, item: JsonValue, field: FieldDescriptor, path: tuple[Step, ...]) -> Iterator[Misfit]:
        if item is None or _may_be_anything(item):
            return
        entry = entry_of(field)
        if entry is not None and isinstance(item, dict):
            for key, inner in item.items():
                try:
                    map_key(entry[0], key)
                except PayloadError as error:
                    yield Misfit((*path, key), error.problem)
                yield from self._one(inner, entry[1], (*path, key))
        elif entry is None and field.is_repeated and isinstance(item, list):
            for index, inner in enumerate(item):
                yield from self._one(inner, field, (*path, index))
        elif field.is_repeated:
            what = "not a mapping" if entry is not None else "not a list, and this field is repeated"
            yield Misfit(path, f"{shown(item)} is {what}")
        else:
            yield from self._one(item, field, path)

    def _one(self, item: JsonValue, field: FieldDescriptor, path: tuple[Step, ...]) -> Iterator[Misfit]:
        if field.message_type is not None:
            yield from self._misfits(item, field.message_type, path)
        elif not _may_be_anything(item):
            try:
                scalar(field, item)
            except PayloadError as error:
                yield Misfit(path, error.problem)

    def _tried(self, template: JsonValue, kind: Descriptor, path: tuple[Step, ...]) -> Iterator[Misfit]:
        if _has_code(template):
            return
        try:
            self._writer.fill(GetMessageClass(kind)(), template)
        except PayloadError as error:
            yield Misfit(path, str(error))


def _may_be_anything(template: JsonValue) -> bool:
    """Whether it is one `${…}`, or text around some: what becomes of it is known when it is evaluated."""
    return isinstance(template, str) and "${" in template


def _has_code(template: JsonValue) -> bool:
    match template:
        case dict():
            return any(map(_has_code, template.values()))
        case list():
            return any(map(_has_code, template))
        case _:
            return _may_be_anything(template)


def describe(method: Method) -> Contract:
    """The contract of a method by its descriptors. NotDescribed says what is wrong with them, or with its name."""
    pool = _pool(method.descriptors)
    service, _, name = method.name.partition("/")
    try:
        found = pool.FindServiceByName(service)
    except KeyError:
        services = _services(method.descriptors)
        raise NotDescribed(f"there is no service {service}", "method", wrong=service, known=services) from None
    if (one := found.methods_by_name.get(name)) is None:
        known = tuple(found.methods_by_name)
        raise NotDescribed(f"{service} has no method {name!r}", "method", wrong=name, known=known)
    if one.client_streaming:
        raise NotDescribed(f"{method.name} takes a stream of requests, and a branch sends one", "method")
    return Contract(method.name, one, pool)


def _parsed(data: bytes) -> descriptor_pb2.FileDescriptorSet:
    try:
        return descriptor_pb2.FileDescriptorSet.FromString(data)
    except DecodeError:
        raise NotDescribed("the file is no serialised FileDescriptorSet", "descriptors") from None


def _services(data: bytes) -> tuple[str, ...]:
    files = _parsed(data).file
    return tuple(f"{file.package}.{service.name}".removeprefix(".") for file in files for service in file.service)


def _pool(data: bytes) -> descriptor_pool.DescriptorPool:
    """A pool with all files of a set, each after those that it imports, in whatever order they stand."""
    files = {file.name: file for file in _parsed(data).file}
    if not files:
        raise NotDescribed("no file is described there", "descriptors")
    pool = descriptor_pool.DescriptorPool()
    order: TopologicalSorter[str] = TopologicalSorter()
    for file in list(files.values()):
        order.add(file.name, *file.dependency)
        for name in file.dependency:
            if name not in files and (known := _well_known(name)) is not None:
                files[name] = known
                order.add(name, *known.dependency)
    try:
        for name in order.static_order():
            if name not in files:
                message = f"{name} is imported and not in it: `protoc --include_imports` puts it in"
                raise NotDescribed(message, "descriptors")
            pool.Add(files[name])
    except CycleError as circle:
        raise NotDescribed(f"files import each other: {', '.join(circle.args[1])}", "descriptors") from None
    except TypeError as error:
        raise NotDescribed(f"the descriptors do not fit together: {error}", "descriptors") from None
    return pool


def _well_known(name: str) -> descriptor_pb2.FileDescriptorProto | None:
    """A file that comes with protobuf, which servers often do not show. None: it is no such file."""
    if not name.startswith("google/protobuf/"):
        return None
    file = descriptor_pb2.FileDescriptorProto()
    try:
        descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
    except KeyError:
        return None
    return file
