import pytest

from fanmesh.runtime import environ


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Container manifests pass empty strings for what is not wanted."""
    monkeypatch.setenv("X", "  ")
    assert environ.text("X", "default") == "default"
    assert environ.flag("X", default=True) is True
    assert environ.integer("X", 3) == 3
    assert environ.choice("X", "a", ("a", "b")) == "a"


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("TRUE", True), ("on", True), ("no", False), ("0", False)])
def test_a_flag_is_read_as_people_write_it(monkeypatch: pytest.MonkeyPatch, value: str, *, meant: bool) -> None:
    """Case and the usual words do not matter."""
    monkeypatch.setenv("X", value)
    assert environ.flag("X", default=not meant) is meant


def test_what_cannot_be_meant_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error says which variable, what it holds, and what was expected."""
    monkeypatch.setenv("X", "maybe")
    with pytest.raises(environ.BadVariable, match="X='maybe': expected true or false"):
        environ.flag("X")
    with pytest.raises(environ.BadVariable, match="expected a whole number"):
        environ.integer("X", 1)
    with pytest.raises(environ.BadVariable, match="one of a, b"):
        environ.choice("X", "a", ("a", "b"))
    monkeypatch.setenv("X", "-1")
    with pytest.raises(environ.BadVariable, match="at least 0"):
        environ.integer("X", 1, least=0)


def test_what_is_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in the environment beats the default, without its blanks."""
    monkeypatch.setenv("X", " 7 ")
    assert environ.text("X", "1") == "7"
    assert environ.integer("X", 1, least=7) == 7


def test_a_child_inherits_the_environment_and_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added wins, and this process's own environment stays as it was."""
    monkeypatch.setenv("X", "ours")
    monkeypatch.setenv("Y", "ours")
    assert environ.inherited({"X": "theirs"}).items() >= {("X", "theirs"), ("Y", "ours")}
    assert environ.text("X") == "ours"


def test_what_somebody_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default of ours is one for this process and its children, and nobody's wish is overruled."""
    monkeypatch.delenv("X", raising=False)
    environ.unless_set("X", "ours")
    environ.unless_set("X", "later")
    assert environ.text("X") == "ours"
    monkeypatch.setenv("X", "theirs")
    environ.unless_set("X", "ours")
    assert environ.text("X") == "theirs"
