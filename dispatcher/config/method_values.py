"""The names by which a foreign method is called: its own, and those of the metadata that goes along."""

from __future__ import annotations

import re
from typing import Final

from dispatcher.config.problems import Wrong, shown

METHOD_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*/[A-Za-z_][A-Za-z0-9_]*$"
KEY_PATTERN: Final = r"^[a-z0-9_.-]+$"
"""What gRPC allows in the key of metadata."""

OURS: Final = ("grpc-", "fanmesh-")
"""Heads of keys that have a meaning already: of this hop, not of the caller's message to the service."""

TAKEN: Final = frozenset({"te", "content-type", "user-agent", "traceparent", "tracestate", "host", "connection"})
"""Keys that every attempt sets by itself, or HTTP/2 does."""

_METHOD: Final = re.compile(METHOD_PATTERN, re.ASCII)
_KEY: Final = re.compile(KEY_PATTERN, re.ASCII)
_A_METHOD: Final = "package.Service/Method"
_A_KEY: Final = "a key in lower case, such as authorization"


def parse_method(value: object) -> str:
    """`package.Service/Method`; a leading slash, as it stands in logs, is left out. Raises Wrong."""
    name = value.removeprefix("/") if isinstance(value, str) else ""
    if _METHOD.fullmatch(name):
        return name
    if isinstance(value, str) and "/" not in value and "." in value:
        raise Wrong(f"{shown(value)} has no / before its method", _A_METHOD)
    raise Wrong(f"{shown(value)} is not a gRPC method", _A_METHOD)


def parse_metadata_key(value: object) -> str:
    """A key of metadata that may be passed on. Raises Wrong for those that mean something here."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise Wrong(f"{shown(value)} is not a metadata key", _A_KEY)
    if value.startswith(OURS) or value in TAKEN:
        raise Wrong(f"{value} is not the caller's to pass on: every attempt has its own", _A_KEY)
    return value
