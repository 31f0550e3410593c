"""What is wrong with a configuration, and where.

Problems are values that are collected, not exceptions that stop at the first one: whoever edits a file wants to hear all of
it at once. One exception carries them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of the document."""

Severity: TypeAlias = Literal["error", "warning"]


class Problem(NamedTuple):
    """One thing that is wrong. `line` and `column` count from 1; 0 = the configuration did not come from a text.

    `message` says what is wrong, `expected` what would be right (may be empty).
    """

    filename: str
    line: int
    column: int
    path: str
    message: str
    severity: Severity = "error"
    expected: str = ""

    def __str__(self) -> str:
        """`fanmesh.yaml:31:18 plans.answer.budget.latency: 300 has no unit; expected a duration such as 300ms`."""
        where = f"{self.filename}:{self.line}:{self.column}" if self.line else self.filename
        subject = f" {self.path}:" if self.path else ":"
        kind = "" if self.severity == "error" else "warning: "
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{where}{subject} {kind}{self.message}{expected}"


class ConfigErrors(Exception):  # noqa: N818  (it holds several)
    """The configuration cannot be used. `problems`: every error and warning in the order of the text, at least one error."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__("\n".join(map(str, self.problems)))


class Wrong(ValueError):  # noqa: N818  (reads as what it says: raise Wrong)
    """A single value is wrong: what it is, and what was expected. Parsers raise it; their callers know the path."""

    def __init__(self, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected


def dotted(path: Path) -> str:
    """`plans.answer.branches.geo`, `routes[0].plan`."""
    text = "".join(f"[{item}]" if isinstance(item, int) else f".{item}" for item in path)
    return text.removeprefix(".")


def near(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'timeout'?)`, or nothing when no known name is close. Capitals make nothing distant."""
    meant = {one.casefold(): one for one in sorted(known)}
    found = get_close_matches(name.casefold(), meant, n=1, cutoff=0.6)
    return f" (did you mean {meant[found[0]]!r}?)" if found else ""


def listed(names: Iterable[str]) -> str:
    """The names there are, for `expected`."""
    return ", ".join(names) or "none are declared"


def shown(value: object) -> str:
    """A value as the writer of the file would recognise it, at most 60 characters."""
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case str():
            text = value if value and value.isprintable() else repr(value)
        case dict():
            text = "a mapping"
        case list():
            text = "a list"
        case _:
            text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
