"""Colour as meaning: four tones, and the one decision whether there is any.

Own escape sequences and not a library's markup, because worker names and messages are strangers' text, which markup would read.
"""

from __future__ import annotations

import sys
from enum import Enum, unique
from typing import TextIO

from fanmesh.runtime import environ


@unique
class Tone(Enum):
    """What a colour says, by its SGR number."""

    GOOD = "32"
    SOSO = "33"
    BAD = "31"
    QUIET = "2"


def paint(text: str, tone: Tone, *, colour: bool) -> str:
    """`text` in that tone, or as it is."""
    return f"\x1b[{tone.value}m{text}\x1b[0m" if colour and text else text


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person looks at it."""
    return (stream or sys.stdout).isatty() and environ.text("TERM") != "dumb"


def colourful(stream: TextIO | None = None) -> bool:
    """Whether to colour: a terminal, and NO_COLOR (no-color.org) is unset or empty."""
    return is_terminal(stream) and not environ.text("NO_COLOR")
