"""What metadata may be, for whoever has to know before the transport says no."""

from __future__ import annotations

import re
from typing import Final

from fanmesh.transport.port import Metadata

KEY: Final = re.compile(r"[0-9a-z_.-]+")
"""All of a key."""


def unsendable(metadata: Metadata) -> str:
    """What is wrong with the first pair that cannot be sent; empty if all can."""
    for key, value in metadata:
        if not KEY.fullmatch(key):
            return f"{key!r} is not a key of metadata: lower-case letters, digits, `_`, `.`, `-`"
        if not key.endswith("-bin"):
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if not (text.isascii() and text.isprintable()):
                return f"the value of {key!r} is not printable ASCII"
    return ""
