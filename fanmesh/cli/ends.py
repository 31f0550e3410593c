"""How a verb ends: its exit code, and an error that says what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, unique
from typing import Annotated, Any, Final, Literal, TypeAlias

from cyclopts import Parameter


@unique
class Exit(IntEnum):
    """What a shell sees."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3


class Stop(Exception):  # noqa: N818  (what the program does)
    """The verb cannot go on. `hint` is the next thing to do; `more` are further fields of the JSON form."""

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.FAILED, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.more = dict(more or {})


def invalid(value: str, option: str, choices: str) -> str:
    """That a value is none of those that an option may have, in the words that the library has for it."""
    return f'Invalid value "{value}" for {option}. Choose from: {choices}.'


TRACEPARENTS: Final = '"new", a W3C header such as "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"'
"""What `--traceparent` may be."""

Output: TypeAlias = Annotated[
    Literal["text", "json"], Parameter(name=["--output", "-o"], help="What to print: text, or one JSON document.")
]
