import enum
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypedDict

import pydantic
import pytest

from fanmesh.adapting import adapt
from fanmesh.jsontext import PayloadError, plain
from fanmesh.model.values import Opaque
from fanmesh.v1.payload_pb2 import Usage


class _Size(enum.Enum):
    BIG = "big"


@dataclass
class _Item:
    name: str
    price: Decimal | None = None


@dataclass
class _Order:
    id: int
    items: list[_Item]
    day: date
    size: _Size = _Size.BIG


class _Model(pydantic.BaseModel):
    n: int
    item: _Item


class _Typed(TypedDict, total=False):
    n: int
    names: list[str]


ORDER = _Order(7, [_Item("a", Decimal("0.10")), _Item("b")], date(2024, 5, 1))


def test_a_dataclass_comes_back_as_it_was() -> None:
    """Nested, optional, listed; dates, decimals and enums from the strings they became; unknown keys do not matter."""
    value = plain(ORDER)
    assert isinstance(value, dict)
    assert adapt({**value, "unknown": 1}, _Order) == ORDER


def test_other_types_of_signature() -> None:
    """Pydantic models, typed dicts, generics and plain containers all work."""
    assert adapt({"n": 1, "item": {"name": "x"}}, _Model) == _Model(n=1, item=_Item("x"))
    assert adapt({"n": 1, "more": 2}, _Typed) == {"n": 1}
    assert adapt([{"names": ["a"]}], list[_Typed]) == [{"names": ["a"]}]
    assert adapt({"a": 1}, dict) == {"a": 1}
    assert adapt([1, 2], list[int]) == [1, 2]


@pytest.mark.parametrize("into", [Any, object])
def test_no_type_takes_the_value_as_it_is(into: Any) -> None:
    """Without a type nothing is copied or checked."""
    value = {"a": object()}
    assert adapt(value, into) is value


def test_messages_are_read_from_json_and_from_their_own_bytes() -> None:
    """A protobuf type takes a map, with either spelling, or a closed message of that very type."""
    usage = Usage(input_tokens=5)
    assert adapt({"input_tokens": 5, "unknown": 1}, Usage) == usage
    assert adapt({"inputTokens": "5"}, Usage) == usage
    assert adapt(Opaque("t/fanmesh.v1.Usage", usage.SerializeToString(), is_message=True), Usage) == usage


def test_bytes_and_opaque_take_what_is_closed() -> None:
    """A blob is read as bytes by whoever asks for bytes."""
    blob = Opaque("image/png", b"x", is_message=False)
    assert adapt(blob, bytes) == b"x"
    assert adapt(blob, Opaque) is blob


@pytest.mark.parametrize(
    ("value", "into", "problem"),
    [
        ({"id": 7, "items": [{"name": "a", "price": "x"}], "day": "2024-05-01"}, _Order, r"^items\[0\]\.price: "),
        ({"items": [], "day": "2024-05-01"}, _Order, "^id: Field required"),
        ({"n": "x"}, _Typed, "^n: "),
        ({"input_tokens": "x"}, Usage, "input"),
        ([], Usage, "needs a map"),
        (Opaque("t/other.Message", b"", is_message=True), Usage, r"other\.Message"),
        (Opaque("t/fanmesh.v1.Usage", b"\xff", is_message=True), Usage, "(?i)pars"),
        (Opaque("image/png", b"", is_message=False), _Order, "image/png"),
        ({"a": 1}, bytes, "blob"),
    ],
)
def test_what_does_not_fit_names_the_field(value: Any, into: Any, problem: str) -> None:
    """The error of a wrong input says which field is wrong."""
    with pytest.raises(PayloadError, match=problem):
        adapt(value, into)
