"""What comes out of CEL, as plain JSON or as an error; the only reader of the library's result values.

Why not `plain_value()` as it is: an error's plain value is a non-empty string, and bytes, times, types and maps with integer
keys come out as Python objects that no payload can carry.
"""

import base64
import datetime as dt
import math
from collections.abc import Mapping
from typing import Any, Final

from fanmesh.expr.environment import ERROR, CelProgram
from fanmesh.expr.errors import EvalError
from fanmesh.model.values import JsonValue

# How the library fails outside its error values: budget of iterations, an optional as result, undecodable text.
_FAILURES: Final = (RuntimeError, TypeError, ValueError, OverflowError, SystemError)


class _NotJsonError(ValueError):
    """A result that no JSON can carry."""


def run(
    program: CelProgram, source: str, *, activation: Any = None, data: Mapping[str, object] | None = None
) -> JsonValue | EvalError:
    """Evaluates over an activation made before, or over `data`.

    Bytes become base64, timestamps RFC 3339 in UTC, durations seconds as in "1.5s": the JSON mapping of protobuf.
    """
    try:
        value = program.eval(activation) if activation is not None else program.eval(data=data)
        plain = value.plain_value()
        if plain is True or plain is False:
            return plain
        if value.type() == ERROR:
            return EvalError.of(str(plain), source)
        return _json(plain)
    except _FAILURES as error:
        return EvalError.of(str(error), source)


def _json(value: object) -> JsonValue:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if math.isfinite(value):
                return value
            raise _NotJsonError("the result is not a finite number")
        case list():
            return [_json(item) for item in value]
        case dict():
            return {_key(key): _json(item) for key, item in value.items()}
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        case dt.timedelta():
            return _seconds(value)
        case _:
            raise _NotJsonError(f"the result is a {type(value).__name__}, which is not JSON")


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    raise _NotJsonError("the result has a map key that is not a string")


def _seconds(value: dt.timedelta) -> str:
    micros = value // dt.timedelta(microseconds=1)
    whole, part = divmod(abs(micros), 1_000_000)
    fraction = f".{part:06d}".rstrip("0") if part else ""
    return f"{'-' if micros < 0 else ''}{whole}{fraction}s"
