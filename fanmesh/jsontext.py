"""JSON text ⇄ values, strict in both directions, at the price of one look at the bytes.

orjson alone is fast and quietly wrong at the edges that matter here: it reads integers beyond 64 bits as floats, and writes NaN
as null. Walking every value to catch that costs more than the parse. So the text is searched for what could be wrong (a run of
nineteen digits, more brackets than the depth limit, a `null` that might have been a NaN), and only then is the value walked.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Container, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fanmesh.model.values import JsonValue, Malformed

DEPTH: Final = 100
"""Deepest nesting of lists and maps; deeper values are refused. orjson writes at most 254 levels."""

ANSWER_DEPTH: Final = 90
"""Deepest nesting of a worker's answer: lists of items and merges put levels around it, and the result is a value, too."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1

_TABLE: Final = bytes(0x30 if 0x30 <= c <= 0x39 else 0x5B if c == 0x7B else c for c in range(256))
_LONG: Final = b"0" * 19
"""Every digit and every opening bracket looks the same, so that one search and one count answer both questions."""


class PayloadError(Malformed):
    """A value that is not JSON as Fanmesh means it. `path` names the place, e.g. `hits[3].score`; empty = the whole value."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def inside(self, step: str | int) -> PayloadError:
        """The same error, seen from one level further out."""
        head = f"[{step}]" if isinstance(step, int) else step
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{head}{joint}{self.path}"
        return self

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


def parse(text: str | bytes, depth: int = DEPTH) -> JsonValue:
    """The value of a JSON text. PayloadError if it is malformed, too deep, or holds an integer outside int64 and uint64."""
    try:
        raw = text.encode() if isinstance(text, str) else text
        value: JsonValue = orjson.loads(raw)
    except ValueError as e:
        raise PayloadError(f"malformed JSON: {e}") from None
    plain_digits = raw.translate(_TABLE)
    if _LONG in plain_digits:
        value = walk(json.loads(raw))
    if plain_digits.count(b"[") > depth and _too_deep(value, depth):
        raise PayloadError(f"nested deeper than {depth} levels")
    return value


def encode(obj: object) -> bytes:
    """The JSON text of a Python object: see `plain` for what is understood. PayloadError names what is not."""
    try:
        raw = orjson.dumps(obj, default=_expand)
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(walk(obj))  # names the place, or mends keys
    if b"null" in raw or (raw.count(b"[") + raw.count(b"{") > DEPTH and _too_deep(orjson.loads(raw), DEPTH)):
        return orjson.dumps(walk(obj))
    return raw


def plain(obj: object) -> JsonValue:
    """A Python object as a JSON value that shares nothing with it.

    Understood: what JSON knows, mappings, lists, tuples, named tuples, sets (sorted), dataclasses, pydantic models, protobuf
    messages (proto field names), enums (their value), datetime, date, time, Decimal, UUID (strings), numpy values. Map keys may
    be what becomes a string. PayloadError names the path of anything else, of NaN, infinities, lone surrogates and integers
    outside int64 and uint64.
    """
    value: JsonValue = orjson.loads(encode(obj))
    return value


def reread(text: bytes, depth: int) -> JsonValue:
    """The value of a text that `encode` has made: only its depth is in doubt. PayloadError if it is too deep."""
    value: JsonValue = orjson.loads(text)
    if text.count(b"[") + text.count(b"{") > depth and _too_deep(value, depth):
        raise PayloadError(f"nested deeper than {depth} levels")
    return value


def _expand(obj: object) -> object:
    """One level of what orjson does not know. TypeError for what nobody knows."""
    match obj:
        case Decimal():
            return str(obj)
        case Message():
            return MessageToDict(obj, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        case tuple():
            named = getattr(obj, "_asdict", None)
            return list(obj) if named is None else named()
        case AbstractSet():
            return sorted(obj, key=str)
        case Mapping():
            return dict(obj)
    for method in ("model_dump", "tolist"):  # pydantic, numpy
        if (convert := getattr(obj, method, None)) is not None and not isinstance(obj, type):
            return convert()
    raise TypeError(f"{type(obj).__name__} has no JSON form")


def walk(obj: object, depth: int = 0) -> JsonValue:
    """`plain`, slowly, and with the path of what is wrong."""
    match obj:
        case Enum():
            return walk(obj.value, depth)
        case None | bool():
            return obj
        case int():
            if not INT_MIN <= obj <= INT_MAX:
                raise PayloadError("an integer outside int64 and uint64")
            return int(obj)
        case float():
            if not math.isfinite(obj):
                raise PayloadError(f"{obj} is not JSON")
            return float(obj)
        case str():
            return _text(obj)
        case date() | time():
            return obj.isoformat()
        case UUID():
            return str(obj)
    if depth >= DEPTH:
        raise PayloadError(f"nested deeper than {DEPTH} levels")
    if isinstance(obj, Mapping):
        return _walk_map(obj, depth + 1)
    if isinstance(obj, list) or (isinstance(obj, tuple) and not hasattr(obj, "_asdict")):
        return _walk_list(obj, depth + 1)
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        fields = (f.name for f in dataclasses.fields(obj) if not f.name.startswith("_"))
        return _walk_map({name: getattr(obj, name) for name in fields}, depth + 1)
    try:
        expanded = _expand(obj)
    except PayloadError:
        raise
    except Exception as e:  # noqa: BLE001  (a model's own serialiser may raise anything)
        raise PayloadError(str(e)) from None
    return walk(expanded, depth + 1)


def _walk_map(mapping: Mapping[Any, object], depth: int) -> JsonValue:
    out: dict[str, JsonValue] = {}
    for key, item in mapping.items():
        try:
            name = _new_key(key, out)
            out[name] = walk(item, depth)
        except PayloadError as e:
            raise e.inside(str(key).encode(errors="replace").decode()) from None
    return out


def _walk_list(items: list[object] | tuple[object, ...], depth: int) -> JsonValue:
    out: list[JsonValue] = []
    for index, item in enumerate(items):
        try:
            out.append(walk(item, depth))
        except PayloadError as e:
            raise e.inside(index) from None
    return out


def _new_key(key: object, known: Container[str]) -> str:
    """The name of a key, which is nobody else's: `1` and `"1"` are two keys of a dict, and one of an object."""
    name = _key(key)
    if name in known:
        raise PayloadError(f"two keys that are {name!r} in JSON")
    return name


def _key(key: object) -> str:
    match key:
        case Enum():
            return _key(key.value)
        case str():
            return _text(key)
        case bool() | float() | None:
            pass  # "True" or "true"? "1.0" or "1"? Whoever means one of them says so
        case int() | UUID() | Decimal():
            return str(key)
        case date() | time():
            return key.isoformat()
    raise PayloadError(f"a map key of type {type(key).__name__} is not JSON")


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PayloadError("a string with a lone surrogate") from None
    return str(text)


def _too_deep(value: JsonValue, depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth):
        level = [c for x in level for c in (x.values() if type(x) is dict else x) if type(c) is dict or type(c) is list]
        if not level:
            return False
    return True
