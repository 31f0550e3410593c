"""JSON values → the types that people write in their signatures.

pydantic does the work, for dataclasses and typed dicts as well: it knows every annotation there is, names the field that is
wrong, and turns strings back into the dates and decimals from which `plain` made them. It is loaded when first needed, because
a dispatcher never does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message

from fanmesh.jsontext import PayloadError
from fanmesh.model.values import Opaque, Value

T = TypeVar("T")

_AS_IS: Final = (None, NoneType, Any, object, Value)


def adapt(value: Value, into: type[T]) -> T:
    """`value` as an `into`: a dataclass, pydantic model, TypedDict, protobuf message, dict, list, or any annotation of these.

    Unknown keys are ignored. Any, object and None take the value as it is; bytes takes a blob; Opaque takes what is closed.
    PayloadError names the field that does not fit.
    """
    reader = _READERS.get(into)
    if reader is None:
        reader = _READERS[into] = _reader(into)
    return cast("T", reader(value))


_READERS: Final[dict[Any, Callable[[Value], Any]]] = {}
"""By annotation; as many as a program has signatures."""


def _reader(into: Any) -> Callable[[Value], Any]:
    if into in _AS_IS:
        return lambda value: value
    if isinstance(into, type) and issubclass(into, Message):
        return lambda value: _message(value, into)
    if into is Opaque:
        return _opaque
    if into is bytes:
        return lambda value: _opaque(value).data
    return _pydantic(into)


def _pydantic(into: Any) -> Callable[[Value], Any]:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  (see the head of this file)

    validate = TypeAdapter(_modern(into)).validate_python

    def read(value: Value) -> Any:
        if isinstance(value, Opaque):
            raise PayloadError(f"{value.media_type or 'a blob'} where a JSON value is needed")
        try:
            return validate(value)
        except ValidationError as e:
            first = e.errors(include_url=False, include_context=False, include_input=False)[0]
            error = PayloadError(first["msg"])
            for step in reversed(first["loc"]):
                error.inside(step)
            raise error from None

    return read


def _modern(into: Any) -> Any:
    """`into` with the standard library's TypedDicts replaced by their backport, the only ones pydantic reads before 3.12."""
    if sys.version_info >= (3, 12):
        return into
    if is_typeddict(into) and type(into).__module__ == "typing":
        hints = {name: _modern(hint) for name, hint in get_type_hints(into, include_extras=True).items()}
        required = into.__required_keys__
        marked = {n: h if n in required else typing_extensions.NotRequired[h] for n, h in hints.items()}
        return typing_extensions.TypedDict(into.__name__, marked)  # type: ignore[operator]  # made from data
    arguments = get_args(into)
    if get_origin(into) in {list, dict, tuple} and any(is_typeddict(a) for a in arguments):
        return get_origin(into)[tuple(_modern(a) for a in arguments)]
    return into


def _message(value: Value, into: type[Message]) -> Message:
    try:
        if isinstance(value, Opaque):
            if not value.is_message or value.media_type.rpartition("/")[2] != into.DESCRIPTOR.full_name:
                raise PayloadError(f"{value.media_type or 'a blob'} where {into.DESCRIPTOR.full_name} is needed")
            return into.FromString(value.data)
        if not isinstance(value, dict):
            raise PayloadError(f"{into.DESCRIPTOR.full_name} needs a map")
        return ParseDict(value, into(), ignore_unknown_fields=True)
    except (ParseError, DecodeError) as e:
        raise PayloadError(str(e)) from None


def _opaque(value: Value) -> Opaque:
    if not isinstance(value, Opaque):
        raise PayloadError("a JSON value where a blob or message is needed")
    return value
