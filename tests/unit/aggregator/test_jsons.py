from __future__ import annotations

from itertools import combinations

import pytest

from aggregator.engine.jsons import canonical, copied, is_number, what
from fanmesh.model.exact import exact, whole
from fanmesh.model.values import JsonValue, Opaque, Value


def test_equal_as_json() -> None:
    """Numbers are equal by value, booleans are no numbers, the order of keys says nothing and that of items does."""
    assert canonical([1, {"x": 1, "y": [2.0]}]) == canonical([1.0, {"y": [2], "x": 1}])
    different: list[JsonValue] = [0, False, None, "", [], {}, 1, True, "1", [1], [True], [1, 2], [2, 1], {"x": 1}, {"x": True}]
    assert all(canonical(one) != canonical(other) for one, other in combinations(different, 2))


def test_a_copy_shares_no_container() -> None:
    """All the way down."""
    value: JsonValue = {"l": [[1], {"x": {}}], "s": "t"}
    copy = copied(value)
    assert copy == value
    copy["l"][1]["x"]["y"] = 1  # type: ignore[index, call-overload]
    assert value == {"l": [[1], {"x": {}}], "s": "t"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1.5, "a number"),
        ("", "a string"),
        ([], "a list"),
        ({}, "a map"),
        (Opaque("x/y", b"", is_message=False), "an opaque x/y"),
    ],
)
def test_values_have_names(value: Value, name: str) -> None:
    """For messages that say what somebody sent."""
    assert what(value) == name
    assert isinstance(value, Opaque) or is_number(value) == (name == "a number")


def test_weights_are_the_decimals_people_wrote() -> None:
    """Whole numbers stay, decimals get one unit, and what is no amount is refused."""
    assert whole([1.0, 2, 0.0]) == [1, 2, 0]
    assert whole([0.1, 0.25, 1]) == [2, 5, 20]
    assert exact(0.9) * 10 == 9
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"negative|Fraction"):
            whole([1.0, wrong])
