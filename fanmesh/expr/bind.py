r"""Hands a request's data to CEL: only what is read, with defaults for what is absent, and nothing the library cannot bear.

Why data makes a round trip through JSON text first: `cel_expr_python` 0.1.3 ends the process (stack overflow in C++) on very
deep or cyclic values, and cuts strings at a NUL without a word, so that `attributes.role == "admin"` would hold for
"admin\0x". Neither can be caught afterwards. orjson refuses depth, lone surrogates and large integers and turns tuples and
subclasses into plain types, at a fifth of the time of a walk in Python.

Why only what is read: converting a 100-hit output costs 70 µs, comparing two fields 3 µs.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import orjson

from fanmesh.expr.program import Reads
from fanmesh.expr.scope import DOUBLES, Leaf

MAX_BYTES: Final = 16 * 2**20  # of one value as JSON text; what a channel receives at most
MAX_COMMAS: Final = 1_000_000  # so at most about as many values: 0.25 s of conversion, in which the event loop stands still
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # an escaped NUL, and not an escaped backslash before "u0000"
_JSON_ONLY: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


class UnbindableError(ValueError):
    """A value that CEL cannot be given; never leaves this package, where it becomes an `EvalError`."""


def bind(reads: Reads, activation: Mapping[str, object]) -> dict[str, object]:
    """Builds what CEL sees.

    Args:
        reads: what the expression reads; nothing else of `activation` is looked at.
        activation: bare names at the top; `attributes`: name → str; `branches`: id → {ok, state, confidence, output}, where
            a branch or a field may be missing. An absent attribute is "", an absent branch is `ok: false, state: "",
            confidence: 0.0, output: {}`, so that a condition over a failed branch is decided rather than an error.

    Raises:
        UnbindableError: a value that is read is no JSON, too deep, too large, or holds a NUL or a lone surrogate.
    """
    bound: dict[str, object] = {}
    for name in reads.bare:
        if name in activation:
            value = activation[name]
            bound[name] = _double(value) if name in DOUBLES else _plain(value)
    if reads.attributes:
        given = _mapping(activation.get("attributes"), "attributes")
        bound["attributes"] = {name: _string(given.get(name, ""), name) for name in reads.attributes}
    if reads.branches:
        views = _mapping(activation.get("branches"), "branches")
        bound["branches"] = {
            branch: {leaf: _leaf(leaf, _mapping(views.get(branch), branch)) for leaf in leaves}
            for branch, leaves in reads.branches.items()
        }
    return bound


def _leaf(leaf: str, view: Mapping[str, object]) -> object:
    match Leaf(leaf):
        case Leaf.OK:
            return view.get(leaf) is True
        case Leaf.STATE:
            return _string(view.get(leaf, ""), leaf)
        case Leaf.CONFIDENCE:
            return _double(view.get(leaf))
        case Leaf.OUTPUT:
            return _plain(view.get(leaf, {}))


def _double(value: object) -> float:
    """A double whatever was sent: CEL tells 1 from 1.0. What is no finite number is 0.0: no confidence, which escalates."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return 0.0
    try:
        number = float(value)
    except (OverflowError, ValueError):  # an integer beyond doubles; a signalling NaN
        return 0.0
    return number if math.isfinite(number) else 0.0


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise UnbindableError(f"{what} must be a map, not {type(value).__name__}")


def _string(value: object, what: str) -> str:
    if isinstance(value, str):
        return _text(value)
    raise UnbindableError(f"{what} must be a string, not {type(value).__name__}")


def _text(value: str) -> str:
    if "\0" in value:
        raise UnbindableError("a string holds a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UnbindableError("a string holds a lone surrogate") from None
    return value if type(value) is str else str.__str__(value)


def _plain(value: object) -> object:
    """A copy in exactly the types CEL takes. NaN becomes null, which fails where it is compared."""
    try:
        text = orjson.dumps(value, default=_default, option=_JSON_ONLY)
    except TypeError as error:
        raise UnbindableError(str(error)) from None
    if b"\\u0000" in text and _NUL.search(text):
        raise UnbindableError("a string holds a NUL character")
    if len(text) > MAX_BYTES or (len(text) > MAX_COMMAS and text.count(b",") > MAX_COMMAS):
        raise UnbindableError(f"more than {MAX_BYTES} bytes or {MAX_COMMAS} values")
    return orjson.loads(text)


def _default(value: object) -> object:
    match value:
        case Decimal() if value.is_finite() and math.isfinite(number := float(value)):
            return number  # a double, as it would become on its way to any other service
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case list() | tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(f"{type(value).__name__} is not JSON")
