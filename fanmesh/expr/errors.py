"""The two kinds of failure, kept apart by type: the author's mistake is raised at load, a data problem is returned at run time.

Why an evaluation never raises: which consequence a failed expression has (no match, CONDITION_ERROR, not yet complete) is
decided by whoever asked, and an exception crossing the synchronous reducer would be taken for a bug.
"""

import re
from dataclasses import dataclass
from typing import Final

_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]\s*$")
_LONGEST: Final = 300  # characters of a library's message we pass on; some of them quote the data they choked on


def without_status(report: str) -> str:
    """The library's text without the status code it puts in front, behind, or both: "NOT_FOUND: … [NOT_FOUND]"."""
    return _STATUS.sub("", report)


class ExprError(ValueError):
    """A mistake in the text of an expression.

    Attributes:
        message: what is wrong, in one line, without position.
        source: the whole text the author wrote (for a template: the string around the `${…}` as well).
        offset: where in `source`, in characters from 0; may equal `len(source)` when something is missing at the end.
        path: keys and indexes leading to the string inside a templated value; empty for a condition.
        also: the further mistakes found in the same value, so that `check` can show all at once.
    """

    def __init__(
        self, message: str, source: str, offset: int, *, path: tuple[str | int, ...] = (), also: tuple["ExprError", ...] = ()
    ) -> None:
        self.message = message
        self.source = source
        self.offset = max(0, min(offset, len(source)))
        self.path = path
        self.also = also
        super().__init__(message)

    def moved(self, source: str, by: int, path: tuple[str | int, ...]) -> "ExprError":
        """Is the same mistake seen from the text that surrounds it: `by` characters further into `source`."""
        return ExprError(self.message, source, self.offset + by, path=path)

    def pretty(self) -> str:
        """The message, the line it is about, and a caret under the spot; tabs are kept so that the caret stays in place."""
        start = self.source.rfind("\n", 0, self.offset) + 1
        end = self.source.find("\n", start)
        line = self.source[start : end if end >= 0 else None].rstrip("\r")
        indent = "".join("\t" if char == "\t" else " " for char in self.source[start : self.offset])
        return f"{self.message}\n  {line}\n  {indent}^"


@dataclass(frozen=True, slots=True)
class EvalError:
    """Why an expression gave no value for this request's data; a value, never raised.

    It is falsy: the library's own error values are truthy, and an `if` that forgets to ask for the type must not be taken.

    Attributes:
        message: what went wrong, at most 300 characters.
        source: the CEL text that failed.
    """

    message: str
    source: str

    def __bool__(self) -> bool:
        return False

    @classmethod
    def of(cls, message: str, source: str) -> "EvalError":
        """Makes one from the library's text, shortened because it may quote the caller's data."""
        message = without_status(message)
        return cls(message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…", source)
