import pytest

from fanmesh.expr import ExprError, Scope, compile_condition

SCOPE = Scope(frozenset({"task", "risk"}), frozenset({"small", "geo"}))


@pytest.mark.parametrize(
    ("source", "word", "message"),
    [
        ('attributes.taks == "x"', "taks", "unknown attribute 'taks'; did you mean 'task'?"),
        ('attributes . taks.startsWith("a")', "taks", "unknown attribute 'taks'; did you mean 'task'?"),
        ('attributes.zzz == "x"', "zzz", "unknown attribute 'zzz'; known: risk, task"),
        ("branches.smal.confidence < 0.9", "smal", "unknown branch 'smal'; did you mean 'small'?"),
        ("branches.smal.output.x.y == 1", "smal", "unknown branch 'smal'; did you mean 'small'?"),
        ("branches.small.confidense < 0.9", "confidense", "a branch has no field 'confidense'; did you mean 'confidence'?"),
        ("branches.small", "small", "branches.small is read field by field: ok, state, confidence, output"),
        ("branches", "branches", "branches are read field by field, as branches.<id>.<field>"),
        ('branches["small"].ok', "branches", "branches are read field by field, as branches.<id>.<field>"),
        ("attributes == {}", "attributes", "attributes are read one by one, as attributes.<name>"),
        ("inptu.a == 1", "inptu", "unknown name 'inptu'; did you mean 'input'?"),
        ('input.x.startWith("a")', "startWith", "unknown function 'startWith' for these operands; did you mean 'startsWith'?"),
        (
            "branches.small.confidence < 1",
            "<",
            "< cannot take (double, int); write whole numbers that meet a double with a point, as in 1.0",
        ),
        ("attributes.task + true == ''", "+", "+ cannot take (string, bool)"),
        ("input.a ? 'a' : 2", "?", "both results of ?: must have one type, here (string, int); dyn(…) lifts the check"),
        ("input.x\n== 1 &&\n\tattributes.nope == ''", "nope", "unknown attribute 'nope'; known: risk, task"),
        ("'é😀' == attributes.nope", "nope", "unknown attribute 'nope'; known: risk, task"),
        ("has(attributes.task)", "attributes", 'has() is always true here: attributes.task is always bound ("" when absent)'),
        (
            "true && has((branches.small.ok))",
            "branches",
            "has() is always true here: branches.small.ok is always bound (ok: false, confidence: 0.0 when absent)",
        ),
        ("(true))", "))", "unexpected ')'"),
    ],
)
def test_caret_and_message(source: str, word: str, message: str) -> None:
    """A mistake is named, with what was probably meant, and the offset is that of the wrong word."""
    with pytest.raises(ExprError) as caught:
        compile_condition(source, SCOPE)
    expected = source.index(word) + (1 if word == "))" else 0)
    assert (caught.value.message, caught.value.offset) == (message, expected)


@pytest.mark.parametrize("source", ["", "  ", "\n"])
def test_empty(source: str) -> None:
    """An empty expression says so."""
    with pytest.raises(ExprError, match="empty"):
        compile_condition(source, SCOPE)


def test_ends_too_early() -> None:
    """Something missing at the end puts the caret behind the text."""
    with pytest.raises(ExprError, match="unexpected end") as caught:
        compile_condition("1 +", SCOPE)
    assert caught.value.offset == 3
    assert caught.value.pretty() == "unexpected end of the expression\n  1 +\n     ^"


@pytest.mark.parametrize(
    "source",
    ["(" * 200 + "1" + ")" * 200, "1" + "+1" * 100, "!" * 100_001 + "true", "\ud800", "'a\nb'", "\0", '"abc', "`", "'\\"],
)
def test_hostile_text_is_refused(source: str) -> None:
    """Too deep, too long, unpaired or undecodable text is an ExprError within the text, whatever the library says to it."""
    with pytest.raises(ExprError) as caught:
        compile_condition(source, SCOPE)
    assert 0 <= caught.value.offset <= len(source)
    assert caught.value.message


def test_no_branches_here() -> None:
    """Where no branch can be read the message says that, and not that this branch is unknown."""
    with pytest.raises(ExprError, match="branches cannot be read here"):
        compile_condition("branches.small.ok", Scope())


def test_pretty_shows_the_line_and_keeps_tabs() -> None:
    """Of a text with several lines only the one in question is shown; the caret lines up under tabs too."""
    error = ExprError("wrong", "a &&\r\n\t\tb\r\n&& c", 8)
    assert error.pretty() == "wrong\n  \t\tb\n  \t\t^"
