"""How a verb ends: its exit code, and an error that says what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, unique
from typing import Annotated, Any, Literal, TypeAlias

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


Output: TypeAlias = Annotated[
    Literal["text", "json"], Parameter(name=["--output", "-o"], help="What to print: text, or one JSON document.")
]
