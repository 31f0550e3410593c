"""Changes of a result by example: which operations come out, what paths look like, and what is refused."""

from __future__ import annotations

from copy import deepcopy

import pytest

from fanmesh.model.coverage import Coverage
from fanmesh.model.delta import LIMIT, Op, OpKind, Told, Unfoldable, diff, fold, reset, shortest, size
from fanmesh.model.values import Opaque, Value
from fanmesh.payload import from_value
from fanmesh.v1 import dispatcher_pb2

SET, APPEND, REMOVE, RESET = OpKind.SET, OpKind.APPEND, OpKind.REMOVE, OpKind.RESET

BLOB = Opaque("image/png", b"1", is_message=False)

CHANGES: dict[str, tuple[Value, Value, list[Op]]] = {
    "nothing": ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, []),
    "the order of keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    "a new key": ({"a": 1}, {"a": 1, "b": None}, [Op("/b", SET)]),
    "a key less": ({"a": 1, "b": {"c": 2}}, {"a": 1}, [Op("/b", REMOVE)]),
    "another value": ({"a": {"b": 1}}, {"a": {"b": 2}}, [Op("/a/b", SET, 2)]),
    "another kind": ({"a": "x"}, {"a": ["x"]}, [Op("/a", SET, ["x"])]),
    "a text that grew": ({"a": "one "}, {"a": "one two"}, [Op("/a", APPEND, "two")]),
    "a text that changed": ({"a": "one two"}, {"a": "one"}, [Op("/a", SET, "one")]),
    "a list that grew": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}, 3, 4]}, [Op("/a", APPEND, [3, 4])]),
    "a list that changed": ({"a": [1, 2]}, {"a": [1, 3]}, [Op("/a", SET, [1, 3])]),
    "a list that shrank": ({"a": [1, 2]}, {"a": [1]}, [Op("/a", SET, [1])]),
    "a list that grew and changed": ({"a": [1]}, {"a": [2, 1]}, [Op("/a", SET, [2, 1])]),
    "the whole, a text": ("one", "one two", [Op("", APPEND, " two")]),
    "the whole, a list": ([1], [1, 2], [Op("", APPEND, [2])]),
    "the whole, of another kind": ({"a": 1}, [1], [Op("", RESET, [1])]),
    "the whole, a number": (1, 2, [Op("", RESET, 2)]),
    "true is not 1": ({"a": 1}, {"a": True}, [Op("/a", SET, value=True)]),
    "1 is not 1.0": ({"a": [1]}, {"a": [1.0]}, [Op("/a", SET, [1.0])]),
    "0.0 is not -0.0": (0.0, -0.0, [Op("", RESET, -0.0)]),
    "what must be escaped": ({"a/b": 1, "m~n": 1, "": 1, "~1": 1}, {"a/b": 2, "m~n": 1, "": 2, "~1": 2},
                            [Op("/a~1b", SET, 2), Op("/", SET, 2), Op("/~01", SET, 2)]),
    "dots, spaces and other letters": ({"a.b c": {"é/": 1}}, {"a.b c": {"é/": 2}}, [Op("/a.b c/é~1", SET, 2)]),
    "what nobody opens": (BLOB, Opaque("image/png", b"2", is_message=False),
                          [Op("", RESET, Opaque("image/png", b"2", is_message=False))]),
    "the same that nobody opens": (BLOB, Opaque("image/png", b"1", is_message=False), []),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name: str) -> None:
    """These operations and no others; folded they give the value, and what they are folded onto stays as it was."""
    before, after, ops = CHANGES[name]
    assert repr(diff(before, after)) == repr(ops)
    kept = deepcopy((before, ops))
    assert fold(before, ops) == after
    assert repr((before, ops)) == repr(kept)


def test_kinds_have_the_numbers_of_the_protocol() -> None:
    """OpKind is the protocol's, but for the one that says nothing."""
    assert {f"OP_KIND_{kind.name}": int(kind) for kind in OpKind} == {
        name: number for name, number in dispatcher_pb2.OpKind.items() if number
    }


WRONG = {
    "added to nothing": ({}, Op("/a", APPEND, "x")),
    "removed where nothing is": ({}, Op("/a", REMOVE)),
    "the whole removed": ({}, Op("", REMOVE)),
    "a way through nothing": ({}, Op("/a/b", SET, 1)),
    "a way through a text": ({"a": "x"}, Op("/a/b", SET, 1)),
    "a way through a list": ({"a": [[1]]}, Op("/a/0", APPEND, [1])),
    "a text to a list": ({"a": []}, Op("/a", APPEND, "x")),
    "a list to a text": ("x", Op("", APPEND, ["x"])),
    "a number to a number": ({"a": 1}, Op("/a", APPEND, 1)),
    "a reset in the middle": ({"a": 1}, Op("/a", RESET, 1)),
    "no pointer": ({"a": 1}, Op("a", SET, 1)),
    "what nobody opens, inside": ({"a": 1}, Op("/a", SET, BLOB)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused(name: str) -> None:
    """Never guessed at: a reader that has lost a delta must not go on with something else. The value stays as it was."""
    value, op = WRONG[name]
    kept = deepcopy(value)
    with pytest.raises(Unfoldable):
        fold(value, [Op("", SET, value), op])
    assert value == kept


def test_what_did_not_change_is_shared() -> None:
    """A fold copies the maps on its way, once each, and nothing beside it."""
    before: Value = {"a": {str(n): n for n in range(10)}, "b": {"c": [1]}}
    after = fold(before, [Op("/a/1", SET, -1), Op("/a/2", REMOVE), Op("/a/x", SET, {"y": 0}), Op("/a/x/y", SET, 1)])
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["b"] is before["b"]
    assert after["a"] == {"0": 0, "1": -1, **{str(n): n for n in range(3, 10)}, "x": {"y": 1}}


@pytest.mark.parametrize("value", [{"a": "x" * 5000, "b": [1, 2.5, None, True] * 50}, "é" * 3000, [[], {}, {"k": "v"}] * 300])
def test_the_size_is_about_that_of_the_message(value: Value) -> None:
    """Within a half of what is sent, and never counted far beyond what is asked for."""
    sent = dispatcher_pb2.Op(path="/a", value=from_value(value)).ByteSize()
    told = size([Op("/a", SET, value)])
    assert sent / 1.5 < told < sent * 1.5
    assert size([Op("/a", SET, value)] * 100, most=100) < 2 * told


def test_the_shorter_of_diff_and_whole() -> None:
    """Many changes of a small value, and more than 1 MiB of changes, are told as the whole."""
    before: Value = {str(n): 0 for n in range(100)}
    after: Value = {str(n): 1 for n in range(100)}
    assert shortest(before, after) == reset(after)
    assert shortest(after, after) == ()
    text = "x" * 100
    assert shortest({"a": text}, {"a": text + "y"}) == (Op("/a", APPEND, "y"),)
    large = {"old": "o" * (2 * LIMIT), "new": "n" * LIMIT}
    assert shortest({"old": large["old"]}, large) == reset(large)
    assert shortest({"old": large["old"]}, {**large, "new": "n" * (LIMIT - 100)})[0].kind is SET


def covered(ratio: float) -> Coverage:
    """A coverage that differs in its ratio."""
    return Coverage(ratio, 1.0, 2.0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0)


def test_what_a_reader_is_told() -> None:
    """First the whole; then what is new since it was told last; nothing if nothing is; the whole again when asked."""
    told, text = Told(), "x" * 100
    assert told.news({"a": text}, covered(0)) == reset({"a": text})
    assert told.news({"a": text, "b": 1}, covered(0)) == reset({"a": text, "b": 1})  # the first was not heard
    told.heard({"a": text}, covered(0))
    assert told.news({"a": text}, covered(0)) is None
    assert told.news({"a": text}, covered(1)) == ()
    assert told.news({"a": text + "1"}, covered(0)) == (Op("/a", APPEND, "1"),)
    assert told.news({"a": text + "12"}, covered(0)) == (Op("/a", APPEND, "12"),)
    assert told.news({"a": text}, covered(0), anew=True) == reset({"a": text})
