"""Turns CEL's compile errors into ours: the caret under the wrong word, and what was probably meant.

Why not pass the library's text on: it points at the dot before the last segment whichever segment is wrong, calls a misspelt
branch an "undeclared reference (in container '')", and follows a syntax error with forty possible tokens.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from fanmesh.expr.errors import ExprError, without_status
from fanmesh.expr.lexer import Token, tokens
from fanmesh.expr.scope import Leaf, Scope

_ISSUE: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR:| \[[A-Z_]+\]\s*\Z|\Z)", re.DOTALL)
_UNDECLARED: Final = re.compile(r"undeclared reference to '\.?(.+?)' \(in container")
_OVERLOAD: Final = re.compile(r"found no matching overload for '(.+?)' applied to '(.+)'")
_FUNCTIONS: Final = re.findall(
    r"\w+",
    "all bool bytes contains double duration dyn endsWith exists exists_one filter format has int"
    " join lowerAscii map matches optional orValue replace size split startsWith string substring timestamp"
    " trim type uint upperAscii",
)  # for "did you mean" alone; what exists is CEL's to say


def diagnose(report: str, source: str, scope: Scope) -> ExprError:
    """Explains `report`, the library's text about `source`; of several issues the first, as the others often follow from it."""
    issue = _ISSUE.search(report)
    if issue is None or int(issue[1]) < 1:
        return ExprError(without_status(issue[3] if issue else report), source, 0)
    lines = source.split("\n")
    offset = sum(len(line) + 1 for line in lines[: int(issue[1]) - 1]) + int(issue[2]) - 1
    text = issue[3]
    if undeclared := _UNDECLARED.match(text):
        return _unknown(tuple(undeclared[1].split(".")), source, offset, scope)
    if overload := _OVERLOAD.match(text):
        return ExprError(_no_overload(overload[1], overload[2]), source, offset)
    return ExprError(_readable(text), source, offset)


def _readable(text: str) -> str:
    text = text.removeprefix("Syntax error: ").split(" expecting {")[0].removesuffix(" expecting <EOF>")
    return re.sub(r"^(extraneous|mismatched) input ", "unexpected ", text).replace("'<EOF>'", "end of the expression")


def _no_overload(operator: str, operands: str) -> str:
    if operator == "_?_:_":
        return f"both results of ?: must have one type, here ({operands.split(', ', 1)[1]}; dyn(…) lifts the check"
    hint = ""
    if "double" in operands and "int" in operands:
        hint = "; write whole numbers that meet a double with a point, as in 1.0"
    return f"{operator.replace('_', ' ').strip()} cannot take {operands}{hint}"


def _unknown(name: tuple[str, ...], source: str, offset: int, scope: Scope) -> ExprError:
    found = list(tokens(source))
    index = next((i for i, token in enumerate(found) if token.start >= offset), len(found))
    if index < len(found) and found[index].text == "(":
        return ExprError(
            f"unknown function {name[-1]!r} for these operands{_meant(name[-1], _FUNCTIONS)}", source, found[index - 1].start
        )

    def spot(segment: int) -> int:
        # The report points at the dot before the last segment (or at a single name): count names backwards from there.
        last = index + 1 if len(name) > 1 else index
        at = last - 2 * (len(name) - 1 - segment)
        return found[at].start if 0 <= at < len(found) else offset

    match name:
        case ("attributes",):
            return ExprError("attributes are read one by one, as attributes.<name>", source, offset)
        case ("attributes", attribute, *_):
            return ExprError(f"unknown attribute {attribute!r}{_meant(attribute, scope.attributes)}", source, spot(1))
        case ("branches", *_) if not scope.branches:
            return ExprError("branches cannot be read here", source, spot(0))
        case ("branches",):
            return ExprError("branches are read field by field, as branches.<id>.<field>", source, offset)
        case ("branches", branch, *_) if branch not in scope.branches:
            return ExprError(f"unknown branch {branch!r}{_meant(branch, scope.branches)}", source, spot(1))
        case ("branches", branch):
            fields = ", ".join(leaf.value for leaf in Leaf)
            return ExprError(f"branches.{branch} is read field by field: {fields}", source, spot(1))
        case ("branches", _, field, *_):
            return ExprError(f"a branch has no field {field!r}{_meant(field, [leaf.value for leaf in Leaf])}", source, spot(2))
        case _:
            roots = scope.bare | ({"attributes"} if scope.attributes else set()) | ({"branches"} if scope.branches else set())
            return ExprError(f"unknown name {name[0]!r}{_meant(name[0], roots)}", source, spot(0))


def _meant(word: str, known: Iterable[str]) -> str:
    options = sorted(known)
    close = get_close_matches(word, options, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(options)}" if 0 < len(options) <= 8 else ""


def needless_has(found: list[Token], source: str) -> ExprError | None:
    """Finds `has(attributes.x)` and `has(branches.b.ok)`: always true, because what is absent is bound to an empty value.

    CEL would compile them, in the typed environment even to the value itself, so they are refused before it sees them.
    """
    texts = [token.text for token in found]
    for i, text in enumerate(texts):
        if text != "has" or texts[i + 1 : i + 2] != ["("] or texts[i - 1 : i] == ["."]:
            continue
        at = i + 2
        while texts[at : at + 1] in (["("], ["."]):
            at += 1
        end = at
        while texts[end + 1 : end + 2] == ["."]:
            end += 2
        path = texts[at : end + 1 : 2]
        if (path[:1], len(path)) in ((["attributes"], 2), (["branches"], 3)):
            absent = '"" when absent' if path[0] == "attributes" else "ok: false, confidence: 0.0 when absent"
            return ExprError(f"has() is always true here: {'.'.join(path)} is always bound ({absent})", source, found[at].start)
    return None
