import pytest

from fanmesh.expr.split import Code, split


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("a${b}c", ["a", Code("b", 3), "c"]),
        ("${a}${b}", [Code("a", 2), Code("b", 6)]),
        ("$${a}", ["${a}"]),
        ("${a}$${b}", [Code("a", 2), "${b}"]),
        (r"${r'\'}x", [Code(r"r'\'", 2), "x"]),
        (r"${'\'}'}x", [Code(r"'\'}'", 2), "x"]),
        ("${bar'}'}", [Code("bar'}'", 2)]),
        ("${`}`}", [Code("`}`", 2)]),
    ],
)
def test_pieces(text: str, pieces: list[str | Code]) -> None:
    """Expressions end at their own brace: quotes count, in raw strings backslashes do not escape, `$${` starts nothing."""
    assert split(text) == pieces
