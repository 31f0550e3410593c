r"""Cuts CEL text into tokens, just finely enough to find where an expression ends and which names it mentions.

Why not a regex for `${…}`: `${input.m["}"]}`, `${{"a": {"b": 1}}}` and `${r'\d}'}` all end at another `}` than a regex says;
only reading strings, comments and braces in order gets them right. Why not the library's parser: it reads whole expressions,
and where one ends is the question. Nothing is validated here; CEL itself judges the text afterwards.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

# The lexical rules are those of the CEL language definition, section "Syntax".
_SPACE: Final = re.compile(r"[\s]+")
_COMMENT: Final = re.compile(r"//[^\n]*")
_STRING: Final = re.compile(r"[bB]?(?P<raw>[rR]?)(?P<quote>\"\"\"|'''|\"|')")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|`[^`\n]*`")
_NUMBER: Final = re.compile(r"[0-9][A-Za-z0-9_]*")


class Kind(Enum):
    """What a token is; blanks and comments are no tokens."""

    NAME = auto()
    STRING = auto()
    UNTERMINATED = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of source text from offset `start` up to `end`; the text of a quoted `name` is without its backticks."""

    kind: Kind
    text: str
    start: int
    end: int


def tokens(source: str, start: int = 0) -> Iterator[Token]:
    """Yields the tokens from `start` on, lazily; a string that never ends is one last UNTERMINATED token."""
    at = start
    while at < len(source):
        if match := _SPACE.match(source, at) or _COMMENT.match(source, at):
            at = match.end()
            continue
        if match := _STRING.match(source, at):
            end = _string_end(source, match)
            kind = Kind.STRING if end >= 0 else Kind.UNTERMINATED
            end = end if end >= 0 else len(source)
        elif match := _NAME.match(source, at):
            kind, end = Kind.NAME, match.end()
        else:
            match = _NUMBER.match(source, at)
            kind, end = Kind.OTHER, match.end() if match else at + 1
        text = source[at:end]
        yield Token(kind, text.strip("`") if kind is Kind.NAME else text, at, end)
        at = end


def _string_end(source: str, opening: re.Match[str]) -> int:
    """Offset just behind the closing quote, or -1. In a raw string a backslash is a character like any other."""
    quote, raw, at = opening["quote"], bool(opening["raw"]), opening.end()
    while at < len(source):
        if source.startswith(quote, at):
            return at + len(quote)
        if source[at] == "\n" and len(quote) == 1:
            return -1
        at += 2 if source[at] == "\\" and not raw else 1
    return -1
