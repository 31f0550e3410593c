"""Any message from and to values: every kind of field, both ways, and every mistake with its path."""

from __future__ import annotations

from typing import Any, Final

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from dispatcher.model.method import Method, NotDescribed
from dispatcher.wire.contracts import Contract, describe
from fanmesh.jsontext import PayloadError
from fanmesh.model.values import Opaque
from tests.kit.protos import descriptors

KINDS: Final = """
syntax = "proto3";
package k;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Colour { COLOUR_NONE = 0; RED = 1; }
message Inner { int32 n = 1; Inner inner = 2; }
message All {
  int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint32 s32 = 5; sint64 s64 = 6;
  fixed32 f32 = 7; fixed64 f64 = 8; sfixed32 sf32 = 9; sfixed64 sf64 = 10;
  float f = 11; double d = 12; bool b = 13; string s = 14; bytes raw = 15; Colour colour = 16;
  Inner inner = 17; repeated int64 many = 18; repeated Inner inners = 19;
  map<string, int64> by_name = 20; map<int32, Inner> by_number = 21; map<bool, string> by_flag = 22;
  oneof one { string left = 23; int32 right = 24; Inner middle = 25; }
  optional int32 maybe = 26;
  google.protobuf.Int64Value w64 = 30; google.protobuf.BytesValue wraw = 31; google.protobuf.StringValue ws = 32;
  google.protobuf.Timestamp at = 33; google.protobuf.Duration lasting = 34; google.protobuf.FieldMask mask = 35;
  google.protobuf.Struct struct = 36; google.protobuf.Value value = 37; google.protobuf.ListValue list = 38;
  google.protobuf.Any any = 39; google.protobuf.Empty empty = 40; google.protobuf.NullValue nothing = 41;
  repeated google.protobuf.Timestamp times = 42; map<string, google.protobuf.Value> values = 43;
  google.protobuf.DoubleValue wd = 44;
  int32 camelCase = 45; int32 snake_case = 46; repeated Colour colours = 47; google.protobuf.BoolValue wb = 48;
}
service S {
  rpc Same(All) returns (All); rpc Parts(All) returns (stream All); rpc Up(stream All) returns (All);
  rpc Both(stream All) returns (stream All);
  rpc Struct(google.protobuf.Struct) returns (google.protobuf.Struct);
  rpc Nothing(google.protobuf.Empty) returns (google.protobuf.Int64Value);
  rpc Value(google.protobuf.Value) returns (google.protobuf.Value);
}
"""

EMPTY: Final = {
    **dict.fromkeys(("i32", "i64", "u32", "u64", "s32", "s64", "f32", "f64", "sf32", "sf64", "camelCase", "snake_case"), 0),
    **dict.fromkeys(("f", "d"), 0.0),
    **dict.fromkeys(("s", "raw"), ""),
    **{name: [] for name in ("many", "inners", "times", "colours")},
    **{name: {} for name in ("by_name", "by_number", "by_flag", "values")},
    "b": False,
    "colour": "COLOUR_NONE",
    "nothing": None,
}
"""What an empty message is: the fields without presence, with their defaults."""


def contract(method: str = "Same") -> Contract:
    """A method of the service."""
    return describe(Method(f"k.S/{method}", descriptors(KINDS)))


SAME: Final = contract()


def there_and_back(value: Any, of: Contract = SAME) -> Any:
    """A value as it comes back from a service that answers with what it is sent."""
    return of.response(of.request(value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(field, value) for field in ("i32", "s32", "sf32") for value in (0, -(2**31), 2**31 - 1)],
        *[(field, value) for field in ("i64", "s64", "sf64") for value in (-(2**63), 2**63 - 1, 2**53 + 1)],
        *[(field, 2**32 - 1) for field in ("u32", "f32")],
        *[(field, 2**64 - 1) for field in ("u64", "f64")],
        *[("f", value) for value in (0.1, 0.5, -3.4028235e38, 1.4013e-45, 16777216.0, 123456.79)],
        *[("d", value) for value in (0.1, 1e300, -0.0, 3.0)],
        ("b", True),
        ("s", "Grüße \U0001f600"),
        ("raw", "AP/+"),
        ("colour", "RED"),
        ("colour", 7),
        ("colours", ["RED", 9]),
        ("inner", {"n": 1, "inner": {"n": 2}}),
        ("inner", {"n": 0}),
        ("many", [1, -(2**63)]),
        ("inners", [{"n": 1}, {"n": 2}]),
        ("by_name", {"a": 1, "": 2**62}),
        ("by_number", {"-1": {"n": 1}}),
        ("by_flag", {"true": "x", "false": "y"}),
        ("left", ""),
        ("right", 0),
        ("middle", {"n": 0}),
        ("maybe", 0),
        ("w64", 2**63 - 1),
        ("wraw", "AAE="),
        ("ws", ""),
        ("wd", 0.25),
        ("wb", False),
        ("at", "2024-02-29T12:00:00.500Z"),
        ("lasting", "-1.500s"),
        ("mask", "a.b,cD"),
        ("struct", {"a": [1, 2.5, None, {"b": "c"}], "t": True}),
        ("value", [1, {"a": None}]),
        ("value", None),
        ("list", [1, "a", [None]]),
        ("empty", {}),
        ("times", ["1970-01-01T00:00:00Z"]),
        ("values", {"a": None, "b": 1}),
        ("any", {"@type": "type.googleapis.com/k.Inner", "n": 3}),
        ("any", {"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": "1970-01-01T00:00:00Z"}),
        ("any", {"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": 5}),
        ("any", {}),
    ],
)
def test_every_kind_of_field_comes_back_as_it_was(field: str, value: Any) -> None:
    """64-bit integers stay integers, floats shortest, bytes base64, enums by name, well-known messages in their own form."""
    if (field, value) == ("any", {}):
        assert SAME.response(b"\xba\x02\x00")["any"] == {}  # type: ignore[index,call-overload]
        return
    assert there_and_back({field: value}) == {**EMPTY, field: value}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"i64": "42", "u64": "18446744073709551615", "i32": 3.0}, {"i64": 42, "u64": 2**64 - 1, "i32": 3}),
        ({"snakeCase": 1, "camelCase": 2}, {"snake_case": 1, "camelCase": 2}),
        ({"raw": "-_8"}, {"raw": "+/8="}),
        ({"colour": 1}, {"colour": "RED"}),
        ({"d": 3, "f": "1.5"}, {"d": 3.0, "f": 1.5}),
        ({"d": 2**63, "f": 2**24}, {"d": 2.0**63, "f": 2.0**24}),
        ({"d": "-1.50E+3", "f": "0.1"}, {"d": -1500.0, "f": 0.1}),
        ({"d": "9007199254740993.0"}, {"d": 2.0**53}),
        ({"i32": None, "inner": None, "many": None, "left": None, "right": 1, "at": None}, {"right": 1}),
        (None, {}),
        ({}, {}),
        ({"any": {"@type": "k.Inner", "n": 1}}, {"any": {"@type": "type.googleapis.com/k.Inner", "n": 1}}),
    ],
)
def test_protobufs_json_is_understood(sent: Any, kept: dict[str, Any]) -> None:
    """JSON names, integers as text, base64 of both alphabets, enums by number; null is no field, and as a whole no fields."""
    assert there_and_back(sent) == {**EMPTY, **kept}


def test_a_method_may_take_and_return_well_known_messages() -> None:
    """Then the whole value has their form."""
    assert there_and_back({"a": 1}, contract("Struct")) == {"a": 1}
    assert there_and_back([None], contract("Value")) == [None]
    assert there_and_back(None, contract("Value")) is None
    assert contract("Nothing").request(None) == contract("Nothing").request({}) == b""
    assert contract("Nothing").response(b"\x08\x05") == 5


def test_a_message_of_the_very_type_is_not_opened() -> None:
    """A caller that has the request already sends it as it is; another message or a blob is refused by its type."""
    assert SAME.request(Opaque("type.googleapis.com/k.All", b"\x08\x01", is_message=True)) == b"\x08\x01"
    for other in (Opaque("type.googleapis.com/k.Inner", b"", is_message=True), Opaque("image/png", b"", is_message=False)):
        with pytest.raises(PayloadError, match=f"{other.media_type} is not a k.All"):
            SAME.request(other)


MISTAKES: Final = [
    ({"i3": 1}, "i3: k.All has no field 'i3'"),
    ({"inner": {"m": 1}}, "inner.m: k.Inner has no field 'm'"),
    ({"inners": [{"n": 1}, {"x": 1}]}, "inners[1].x: k.Inner has no field 'x'"),
    ({"by_number": {"1": {"x": 1}}}, "by_number.1.x: k.Inner has no field 'x'"),
    ({"by_number": {"one": {}}}, "by_number.one: 'one' is not a whole number"),
    ({"by_flag": {"1": "x"}}, "by_flag.1: the key is not true or false"),
    ({"by_name": []}, "by_name: a list is not a mapping"),
    ({"by_name": {"a": None}}, "by_name.a: null is not a whole number"),
    ({"i32": 2**31}, f"i32: {2**31} is not in [{-(2**31)}, {2**31 - 1}]"),
    ({"u64": -1}, f"u64: -1 is not in [0, {2**64 - 1}]"),
    ({"i64": 1.5}, "i64: 1.5 is not a whole number"),
    ({"i64": "1.5"}, "i64: '1.5' is not a whole number"),
    ({"i64": True}, "i64: true is not a whole number"),
    ({"b": 1}, "b: 1 is not true or false"),
    ({"s": 1}, "s: 1 is not a string"),
    ({"raw": "@@@@"}, "raw: the text is not base64"),
    ({"raw": "a"}, "raw: the text is not base64"),
    ({"f": 1e300}, "f: 1e+300 is too large for a float"),
    ({"d": "inf"}, "d: 'inf' is not a number"),
    ({"d": [1]}, "d: a list is not a number"),
    *[({"d": text}, f"d: {text!r} is not a number") for text in ("1_000", " 1 ", "٣", "+1", ".5", "1.", "01", "nan", "1e999")],
    *[({"i64": text}, f"i64: {text!r} is not a whole number") for text in ("1_0", " 1", "٣", "+1", "007", "-0", "-")],
    ({"by_number": {"01": {}}}, "by_number.01: '01' is not a whole number"),
    ({"d": 2**53 + 1}, f"d: {2**53 + 1} is no double: it would be rounded"),
    ({"d": str(2**53 + 1)}, f"d: {2**53 + 1} is no double: it would be rounded"),
    ({"f": 2**24 + 1}, f"f: {2**24 + 1} is no float: it would be rounded"),
    ({"colour": "BLUE"}, "colour: 'BLUE' is none of k.Colour: COLOUR_NONE, RED"),
    ({"inner": []}, "inner: a list is not a mapping, and this is a k.Inner"),
    ({"inner": ""}, "inner: '' is not a mapping, and this is a k.Inner"),
    ({"many": 1}, "many: 1 is not a list, and this field is repeated"),
    ({"many": [1, None]}, "many[1]: null is not a whole number"),
    ({"left": "a", "right": 1}, "right: left is given already, and of one there can be one"),
    ({"w64": "x"}, "w64: 'x' is not a whole number"),
    ({"at": 5}, "at: 5 is not the text of a google.protobuf.Timestamp"),
    ({"struct": []}, "struct: a list is not a mapping"),
    ({"struct": {"a": 2**60}}, f"struct.a: {2**60} is beyond ±2^53; use `json`"),
    ({"list": {}}, "list: a mapping is not a list"),
    ({"any": {"n": 1}}, "any: an Any is a mapping with its type URL as @type"),
    ({"any": {"@type": "x/k.Nobody"}}, "any.@type: nobody knows the type 'x/k.Nobody'"),
    ({"any": {"@type": "x/k.Inner", "m": 1}}, "any.m: k.Inner has no field 'm'"),
    (
        {"any": {"@type": "x/google.protobuf.Int32Value", "value": 5, "other": 1}},
        "any.other: a google.protobuf.Int32Value in an Any has its `value`, and no 'other'",
    ),
    ([], "a list is not a mapping, and this is a k.All"),
    ("x" * 60, f"'{'x' * 36}... is not a mapping, and this is a k.All"),
]


@pytest.mark.parametrize(("value", "says"), MISTAKES)
def test_what_does_not_fit_is_named_by_its_path(value: Any, says: str) -> None:
    """Nothing is dropped, rounded or guessed."""
    with pytest.raises(PayloadError) as error:
        SAME.request(value)
    assert str(error.value) == says


@pytest.mark.parametrize(("value", "says"), [one for one in MISTAKES if isinstance(one[0], dict)])
def test_what_can_never_fit_is_seen_in_the_mapping(value: Any, says: str) -> None:
    """The same mistakes, found in constants before anything runs."""
    (misfit,) = SAME.misfits(value)
    assert misfit.message in says
    assert says.startswith(str(misfit.path[0]))


@pytest.mark.parametrize(
    "template",
    [
        "${input}",
        {"i32": "${input.n}", "inner": "${input.inner}", "many": "${input.list}", "by_name": "${input.map}", "right": None},
        {"inner": {"n": "${1}"}, "many": ["${1}", 2], "by_name": {"a": "${1}"}, "s": "a ${input.x}", "raw": "${input.raw}"},
        {
            "at": "${input.at}",
            "struct": {"a": "${input}"},
            "any": {"@type": "${input.type}"},
            "inners": ["${input}"],
            "left": "x",
        },
    ],
)
def test_what_is_only_known_when_it_runs_is_not_judged(template: Any) -> None:
    """An expression may become anything."""
    assert SAME.misfits(template) == ()


def test_an_unknown_field_says_which_there_are() -> None:
    """For a proposal."""
    (misfit,) = SAME.misfits({"inner": {"nn": "${1}"}})
    assert (misfit.path, misfit.wrong, misfit.known) == (("inner", "nn"), "nn", ("n", "inner"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff", "the bytes are not a k.All"),
        (b"\x61\x00\x00\x00\x00\x00\x00\xf8\x7f", "d: nan is not JSON"),
        (b"\x5d\x00\x00\x80\x7f", "f: inf is not JSON"),
        (b"\x8a\x02\x07\x08\xff\xff\xff\xff\xff\x7f", "at: "),
        (b"\xba\x02\x0e\x0a\x09x/k.Inner\x12\x01\x08", "any: the bytes are not a k.Inner"),
        (b"\xaa\x02\x09\x11\x00\x00\x00\x00\x00\x00\xf8\x7f", "value"),
    ],
)
def test_what_is_no_json_is_no_answer(data: bytes, says: str) -> None:
    """NaN, infinities, times beyond the calendar, and bytes that are something else."""
    with pytest.raises(PayloadError) as error:
        SAME.response(data)
    assert str(error.value).startswith(says)


def test_an_answer_that_is_nested_too_deep_is_refused() -> None:
    """Any within Any starts protobuf's own count anew; ours goes on."""
    value: dict[str, Any] = {"n": 1}
    for _ in range(80):
        value = {"inner": value}
    inner = SAME.request({"inner": value})
    assert SAME.response(inner)
    deep: dict[str, Any] = {"@type": "x/k.All", "inner": value}
    for _ in range(10):
        deep = {"@type": "x/k.All", "any": deep}
    with pytest.raises(PayloadError, match="nested deeper than 90 levels"):
        there_and_back({"any": deep})


def test_an_unknown_type_in_an_any_is_carried_as_bytes() -> None:
    """Nobody has described it; the rest of the answer is as good as ever."""
    told = SAME.response(b"\xba\x02\x0a\x0a\x05x/y.Z\x12\x01\x08")
    assert isinstance(told, dict)
    assert told["any"] == {"@type": "x/y.Z", "value": "CA=="}


PROTO2: Final = """
syntax = "proto2";
package o;
enum E { A = 1; }
message M { required int32 must = 1; optional string s = 2 [default = "x"];
  optional E e = 3; optional group G = 4 { optional int32 n = 1; }
  extensions 100 to 200; }
extend M { optional int32 more = 100; }
service S { rpc Same(M) returns (M); }
"""


def test_proto2_is_spoken_too() -> None:
    """Required fields, closed enums, groups, extensions; a default that was not sent is not there."""
    old = describe(Method("o.S/Same", descriptors(PROTO2)))
    assert there_and_back({"must": 1, "e": "A", "g": {"n": 2}}, old) == {"must": 1, "e": "A", "g": {"n": 2}}
    assert old.response(b"\x08\x01\xa0\x06\x05") == {"must": 1, "[o.more]": 5}
    for value, says in (({}, "missing required fields: must"), ({"must": 1, "e": 2}, "e: 2 is none of o.E")):
        with pytest.raises(PayloadError, match=says):
            old.request(value)
    with pytest.raises(PayloadError, match="s: a string that is not UTF-8"):
        old.response(b"\x08\x01\x12\x01\xff")


@pytest.mark.parametrize(
    ("name", "data", "key", "says"),
    [
        ("k.S/Sane", descriptors(KINDS), "method", "k.S has no method 'Sane'"),
        ("k.T/Same", descriptors(KINDS), "method", "there is no service k.T"),
        ("k.S/Up", descriptors(KINDS), "method", "k.S/Up takes a stream of requests, and a branch sends one"),
        ("k.S/Both", descriptors(KINDS), "method", "k.S/Both takes a stream of requests, and a branch sends one"),
        ("k.S/Same", b"\xff\xff", "descriptors", "the file is no serialised FileDescriptorSet"),
        ("k.S/Same", b"", "descriptors", "no file is described there"),
    ],
)
def test_what_is_not_described_is_said(name: str, data: bytes, key: str, says: str) -> None:
    """With the key that is wrong: the method's name, or its descriptors."""
    with pytest.raises(NotDescribed) as error:
        describe(Method(name, data))
    assert (error.value.key, error.value.message) == (key, says)


def test_descriptors_need_their_imports() -> None:
    """Whatever protobuf itself brings may be missing; anything else is named. The order of the files means nothing."""
    without = descriptors(KINDS, imports=False)
    assert describe(Method("k.S/Parts", without)).streams
    files = FileDescriptorSet.FromString(descriptors(KINDS))
    backwards = FileDescriptorSet(file=reversed(files.file)).SerializeToString()
    assert not describe(Method("k.S/Same", backwards)).streams
    files.file[-1].dependency.append("other.proto")
    with pytest.raises(NotDescribed, match=r"other\.proto is imported and not in it"):
        describe(Method("k.S/Same", files.SerializeToString()))
    files.file[-1].dependency[-1] = files.file[-1].name
    with pytest.raises(NotDescribed, match="files import each other"):
        describe(Method("k.S/Same", files.SerializeToString()))
    del files.file[-1].dependency[-1], files.file[-1].message_type[:]
    with pytest.raises(NotDescribed, match="the descriptors do not fit together"):
        describe(Method("k.S/Same", files.SerializeToString()))


def test_two_services_may_mean_different_things_by_one_name() -> None:
    """Each set of descriptors is a world of its own."""
    text = 'syntax = "proto3"; package k; message All {{ {field} x = 1; }} service S {{ rpc Same(All) returns (All); }}'
    one, other = (describe(Method("k.S/Same", descriptors(text.format(field=kind)))) for kind in ("string", "int32"))
    assert there_and_back({"x": "a"}, one) == {"x": "a"}
    assert there_and_back({"x": 1}, other) == {"x": 1}
    assert there_and_back({"i32": 1}) == {**EMPTY, "i32": 1}
