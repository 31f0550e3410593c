import math

import pytest
from google.protobuf.struct_pb2 import Struct, Value

from fanmesh.jsontext import PayloadError
from fanmesh.structs import DEPTH, from_struct, from_struct_value, to_struct, to_struct_value


def test_values_survive_a_struct() -> None:
    """A map goes into a Struct and comes back the same, integers as int."""
    value = {"s": "x", "i": 3, "neg": -(2**53), "f": 0.25, "t": True, "n": None, "l": [1, [], {}], "m": {"k": {}}}
    back = from_struct(Struct.FromString(to_struct(value).SerializeToString()))
    assert back == value
    assert type(back["i"]) is int
    assert type(back["f"]) is float
    assert back["t"] is True


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 1e300, math.nan, math.inf])
def test_numbers_that_a_double_cannot_say_are_refused_by_name(value: float) -> None:
    """Beyond ±2^53, and for what is not JSON, the field is named, whichever way it goes."""
    with pytest.raises(PayloadError, match=r"^a\.b\[1\]: "):
        to_struct({"a": {"b": [0, value]}})
    struct = Struct()
    struct.fields["a"].struct_value.fields["b"].list_value.values.extend([Value(number_value=0), Value(number_value=value * 4)])
    with pytest.raises(PayloadError, match=r"^a\.b\[1\]: "):
        from_struct(struct)


def test_a_value_without_a_kind_is_null() -> None:
    """Clients that leave a Value empty mean null."""
    assert from_struct_value(Value()) is None
    assert from_struct_value(to_struct_value(None)) is None


@pytest.mark.parametrize("wrap", [lambda v: {"k": v}, lambda v: [v]])
def test_nesting_that_readers_would_refuse_is_refused_here(wrap: object) -> None:
    """What is accepted can be parsed by every protobuf; what is deeper says: use json."""
    assert callable(wrap)
    value: object = 1
    for _ in range(DEPTH - 1):
        value = wrap(value)
    fits = to_struct({"top": value})
    assert from_struct(Struct.FromString(fits.SerializeToString())) == {"top": value}
    with pytest.raises(PayloadError, match="use `json`"):
        to_struct({"top": wrap(value)})
