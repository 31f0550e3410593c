"""Splits text into literal pieces and `${…}`; `$${` stands for a literal `${`."""

from dataclasses import dataclass
from typing import Final

from fanmesh.expr.errors import ExprError
from fanmesh.expr.lexer import Kind, tokens

_OPEN: Final = "${"
_ESCAPED: Final = "$${"


@dataclass(frozen=True, slots=True)
class Code:
    """The inside of one `${…}` and its offset in the whole text."""

    source: str
    offset: int


def split(text: str) -> list[str | Code]:
    """Pieces in order, adjacent literals joined; never empty: the empty text is one empty literal.

    Raises:
        ExprError: a `${`, or a string inside it, is never closed.
    """
    pieces: list[str | Code] = []
    literal = ""
    at = 0
    while (found := text.find(_OPEN, at)) >= 0:
        if found > at and text.startswith(_ESCAPED, found - 1):
            literal += text[at : found - 1] + _OPEN
            at = found + len(_OPEN)
            continue
        literal += text[at:found]
        start = found + len(_OPEN)
        end = _closing_brace(text, found, start)
        if literal:
            pieces.append(literal)
            literal = ""
        pieces.append(Code(text[start:end], start))
        at = end + 1
    literal += text[at:]
    return [*pieces, literal] if literal or not pieces else pieces


def _closing_brace(text: str, opened: int, start: int) -> int:
    depth = 0
    for token in tokens(text, start):
        if token.kind is Kind.UNTERMINATED:
            raise ExprError("this string is never closed", text, token.start)
        match token.kind, token.text:
            case Kind.OTHER, "{":
                depth += 1
            case Kind.OTHER, "}" if depth == 0:
                return token.start
            case Kind.OTHER, "}":
                depth -= 1
            case _:  # a brace in a string or in a `quoted name` is none
                pass
    raise ExprError("${ is never closed", text, opened)
