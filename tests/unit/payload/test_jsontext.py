import enum
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pydantic
import pytest
from google.protobuf.duration_pb2 import Duration

from fanmesh.jsontext import ANSWER_DEPTH, DEPTH, PayloadError, encode, parse, plain, reread
from fanmesh.v1.payload_pb2 import Usage


class _Colour(enum.Enum):
    RED = "red"


class _Model(pydantic.BaseModel):
    n: int
    price: Decimal


@dataclass
class _Inner:
    score: float


@dataclass
class _Outer:
    name: str
    inner: _Inner
    tags: set[str] = field(default_factory=set)


Point = namedtuple("Point", "x y")  # noqa: PYI024  (the untyped kind is what is tried)


class _ArrayLike:
    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ('{"a": [1, 2.5, "x", true, null]}', {"a": [1, 2.5, "x", True, None]}),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ('"12345678901234567890123"', "12345678901234567890123"),
        ("1234567890123456789.5", 1234567890123456789.5),
        ("1e20", 1e20),
    ],
)
def test_json_text_is_read_exactly(text: str, value: object) -> None:
    """Integers of 64 bits stay exact; long digits in strings and floats are nobody's business."""
    read = parse(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("18446744073709551616", "an integer outside int64 and uint64"),
        ("-9223372036854775809", "an integer outside int64 and uint64"),
        ('{"a": {"b": [0, 99999999999999999999]}}', "a.b[1]: an integer outside int64 and uint64"),
        ("NaN", "malformed JSON"),
        ("[1e400]", "malformed JSON"),
        ("Infinity", "malformed JSON"),
        ('"\\ud800"', "malformed JSON"),
        ("[1,]", "malformed JSON"),
        ("", "malformed JSON"),
        ("{", "malformed JSON"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), "nested deeper than 100 levels"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(text: str, problem: str) -> None:
    """Malformed text, integers beyond 64 bits and bottomless nesting are errors that say where."""
    with pytest.raises(PayloadError) as e:
        parse(text)
    assert str(e.value).startswith(problem)


def test_the_depth_limit_counts_levels_and_not_brackets() -> None:
    """A wide value has many brackets and is fine, and so is one of exactly the permitted depth."""
    wide = [{"a": [1]} for _ in range(DEPTH)]
    assert parse(encode(wide)) == wide
    deep = "[" * DEPTH + "]" * DEPTH
    assert encode(parse(deep)) == deep.encode()


@pytest.mark.parametrize("inside", ["", "1234567890123456789"])
def test_an_answer_may_be_less_deep_than_a_result(inside: str) -> None:
    """Whichever way it is read."""
    deep = "[" * ANSWER_DEPTH + inside + "]" * ANSWER_DEPTH
    assert reread(deep.encode(), ANSWER_DEPTH) == parse(deep, ANSWER_DEPTH) == parse(deep)
    for read in (parse, reread):
        with pytest.raises(PayloadError, match="nested deeper than 90 levels"):
            read(f"[{deep}]".encode(), ANSWER_DEPTH)


def test_a_value_one_level_too_deep_is_not_written() -> None:
    """What `parse` would refuse is not sent either."""
    deep = parse("[" * DEPTH + "]" * DEPTH)
    with pytest.raises(PayloadError, match="nested deeper than 100 levels"):
        encode([deep])


@pytest.mark.parametrize(
    ("obj", "value"),
    [
        (_Outer("n", _Inner(0.5), {"b", "a"}), {"name": "n", "inner": {"score": 0.5}, "tags": ["a", "b"]}),
        (_Model(n=1, price=Decimal("0.10")), {"n": 1, "price": "0.10"}),
        (OrderedDict(a=(1, 2)), {"a": [1, 2]}),
        (Point(1, None), {"x": 1, "y": None}),
        ({"d": datetime(2024, 5, 1, 12, tzinfo=UTC)}, {"d": "2024-05-01T12:00:00+00:00"}),
        ({"d": date(2024, 5, 1)}, {"d": "2024-05-01"}),
        ({"u": UUID(int=1)}, {"u": "00000000-0000-0000-0000-000000000001"}),
        ({"e": _Colour.RED}, {"e": "red"}),
        ({_Colour.RED: 1, 2: None, date(2024, 1, 2): 3}, {"red": 1, "2": None, "2024-01-02": 3}),
        (Usage(input_tokens=3), {"input_tokens": "3", "output_tokens": "0", "cost_usd_micros": "0"}),
        (Duration(seconds=2), "2s"),
        (_ArrayLike(), [1, 2]),
        (frozenset({3, 1}), [1, 3]),
        (2**64 - 1, 2**64 - 1),
    ],
)
def test_python_objects_become_plain_values(obj: object, value: object) -> None:
    """Dataclasses, models, messages, enums, dates, decimals, sets and arrays turn into JSON by the documented rules."""
    assert plain(obj) == value
    assert plain([obj, None]) == [value, None]  # the null sends it down the slow path, which must agree


@pytest.mark.parametrize(
    ("obj", "problem"),
    [
        ({"hits": [{"score": math.nan}]}, "hits[0].score: nan is not JSON"),
        (math.inf, "inf is not JSON"),
        ({"n": 2**64}, "n: an integer outside int64 and uint64"),
        ({"n": -(2**63) - 1}, "n: an integer outside int64 and uint64"),
        ({"s": "\ud800"}, "s: a string with a lone surrogate"),
        ({"\ud800": 1}, "?: a string with a lone surrogate"),
        ({"o": object()}, "o: object has no JSON form"),
        ({"b": b"bytes"}, "b: bytes has no JSON form"),
        ({None: 1}, "None: a map key of type NoneType is not JSON"),
        (_Outer("n", _Inner(math.nan)), "inner.score: nan is not JSON"),
        (_Model, "has no JSON form"),
        ([Point(math.nan, 1)], "[0].x: nan is not JSON"),
        ({1: "a", "1": "b"}, "1: two keys that are '1' in JSON"),
        ([{_Colour.RED: 1, "red": None}], "[0].red: two keys that are 'red' in JSON"),
    ],
)
def test_what_has_no_json_form_is_refused_with_its_place(obj: object, problem: str) -> None:
    """NaN never turns into null, and whatever cannot be said in JSON is named by its path."""
    with pytest.raises(PayloadError) as e:
        encode(obj)
    assert problem in str(e.value)


def test_a_value_that_contains_itself_is_refused() -> None:
    """A cycle ends in an error, not in a crash."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(PayloadError, match="nested deeper than 100 levels"):
        plain(loop)


def test_a_plain_value_shares_nothing_with_its_source() -> None:
    """What a worker does to its answer after giving it does not reach the request."""
    source = {"tags": ["a"]}
    value = plain(source)
    source["tags"].append("b")
    assert value == {"tags": ["a"]}
