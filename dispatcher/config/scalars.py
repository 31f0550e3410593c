"""Scalars by the rules of YAML 1.2's core schema, and nothing beyond: `on`, `no`, `1_000` and `2024-01-01` are strings.

Written out, because every YAML library resolves a few more things than the schema does, each a few of its own.
"""

from __future__ import annotations

import re
from typing import Final

from dispatcher.config.problems import Wrong, shown
from fanmesh.model.values import JsonValue

TAG: Final = "tag:yaml.org,2002:"
_NULL: Final = re.compile(r"null|Null|NULL|~|")
_BOOL: Final = re.compile(r"true|True|TRUE|(false|False|FALSE)")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_KINDS: Final = {type(None): "null", bool: "bool", int: "int", float: "float"}


def resolve(text: str, tag: str | None, *, plain: bool) -> JsonValue:
    """The core schema's value of a scalar. Raises Wrong."""
    if tag in {"!", TAG + "str"} or (tag is None and not plain):
        return text
    value = _core(text)
    kind = _KINDS.get(type(value), "str")
    if tag is None or tag == TAG + kind or (kind == "int" and tag == TAG + "float"):
        return value
    raise Wrong(f"the tag {tag} is unknown, or does not fit {shown(text)}", "no tag")


def _core(text: str) -> JsonValue:
    if _NULL.fullmatch(text):
        return None
    if found := _BOOL.fullmatch(text):
        return found[1] is None
    if _INT.fullmatch(text):
        if len(text) > 40:  # far beyond 64 bits, and Python refuses to convert very long ones
            raise Wrong("the number is too large", "an integer of at most 64 bits")
        return int(text, 10 if text[:2] not in {"0o", "0x"} else 0)
    if _FLOAT.fullmatch(text):
        special = text[-4:].lower() in {".inf", ".nan"}
        return float(text.lower().replace(".", "") if special else text)
    return text
