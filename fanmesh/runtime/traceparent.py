"""W3C Trace Context headers as text: read one, write one.

The library's propagator is not used on this path: it wants a carrier, a context and a span object in order to look at 55
characters, and every request passes here, sampled or not. A test holds the two together.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HEADER: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
SAMPLED: Final = 0x01
RANDOM: Final = 0x02
"""The trace id was drawn at random (Trace Context level 2)."""

NO_TRACE: Final = "0" * 32
NO_SPAN: Final = "0" * 16


class Ids(NamedTuple):
    """What identifies a span to others. `tracestate` is the header as it came, empty = none."""

    trace_id: int
    span_id: int
    flags: int = SAMPLED
    tracestate: str = ""

    @property
    def sampled(self) -> bool:
        """Whether it is recorded where it ran."""
        return bool(self.flags & SAMPLED)


def parse(header: str, tracestate: str = "") -> Ids | None:
    """The caller's span, or None if the header is not valid: then a new trace begins and the old one is not passed on.

    Rules: W3C Trace Context, "traceparent Header Field Values" and "Versioning" (a later version may append fields).
    """
    match = HEADER.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or trace_id == NO_TRACE or span_id == NO_SPAN:
        return None
    return Ids(int(trace_id, 16), int(span_id, 16), int(flags, 16), tracestate)


def render(ids: Ids) -> str:
    """The header for work that is done under this span."""
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.flags & 0xFF:02x}"
