"""How parts add up: the rule of PART_MODE_APPEND, on the worker's side of the wire."""

from __future__ import annotations

from typing import Any

from fanmesh.model.values import Opaque, Value
from fanmesh.payload import PayloadError


def joined(whole: Value, part: Value) -> Value:
    """Lists and strings concatenate, maps merge by key recursively, null says nothing and gives way.

    PayloadError, with the path, for anything else.
    """
    match whole, part:
        case _, None:
            return whole
        case None, _:
            return part
        case (list(), list()) | (str(), str()):
            return whole + part  # type: ignore[operator]  # the pattern says that both are of one kind
        case dict(), dict():
            out: dict[str, Any] = dict(whole)
            for key, item in part.items():
                try:
                    out[key] = joined(out[key], item) if key in out else item
                except PayloadError as e:
                    raise e.inside(key) from None
            return out
        case _:
            raise PayloadError(f"{_kind(part)} cannot be appended to {_kind(whole)}; yield Replace(…)")


def _kind(value: Value) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case Opaque():
            return "a blob"
        case _:
            return "a map"
