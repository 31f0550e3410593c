import subprocess
import sys

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from fanmesh.model.values import Opaque
from fanmesh.payload import Box, Kind, PayloadError, from_value, kind_of, to_value
from fanmesh.v1.dispatcher_pb2 import PayloadKind
from fanmesh.v1.payload_pb2 import Blob, Payload, Usage
from fanmesh.v1.worker_pb2 import ProcessRequest

VALUE = {"a": [1, 2.5, "x", None, True]}


def data(value: dict[str, object]) -> Payload:
    struct = Struct()
    struct.update(value)
    return Payload(data=struct)


def packed(message: object) -> Payload:
    out = Any()
    out.Pack(message)
    return Payload(message=out)


def test_kinds_carry_the_numbers_of_the_protocol() -> None:
    """Kind is PayloadKind."""
    assert {k.name: k.value for k in Kind} == {k[13:]: v for k, v in PayloadKind.items() if v}


@pytest.mark.parametrize("kind", list(Kind))
def test_a_value_comes_back_from_either_kind(kind: Kind) -> None:
    """What goes in as json or data comes out the same."""
    payload = from_value(VALUE, kind)
    assert payload.WhichOneof("body") == kind.name.lower()
    assert to_value(Payload.FromString(payload.SerializeToString())) == VALUE
    assert kind_of(payload) is kind


def test_no_body_is_null() -> None:
    """An empty payload stands for null."""
    assert to_value(Payload()) is None


@pytest.mark.parametrize("value", [[1, 2], "text", 3, None])
def test_what_is_not_a_map_is_json_even_where_data_was_asked_for(value: object) -> None:
    """A Struct is a map, so other values keep their exact form."""
    payload = from_value(value, Kind.DATA)
    assert payload.WhichOneof("body") == "json"
    assert to_value(payload) == value


@pytest.mark.parametrize(
    "payload",
    [Payload(blob=Blob(content_type="image/png", value=b"\x89PNG")), packed(Usage(input_tokens=1)), packed(ProcessRequest())],
)
def test_what_nobody_opens_is_carried_whole(payload: Payload) -> None:
    """Blobs, and messages that are ours to pass on, come out as they went in."""
    value = to_value(payload)
    assert isinstance(value, Opaque)
    assert from_value(value, Kind.DATA) == payload


def test_well_known_messages_are_opened() -> None:
    """A message with a JSON form of its own is read as that."""
    assert to_value(packed(Timestamp(seconds=0))) == "1970-01-01T00:00:00Z"
    struct = Struct()
    struct.update(VALUE)
    assert to_value(packed(struct)) == VALUE


WORKERS_PROCESS = """
from fanmesh.workers import serve
from fanmesh.payload import to_value
from fanmesh.v1.payload_pb2 import Payload

for name in ("Int32Value", "StringValue", "Duration", "Timestamp", "FieldMask", "Empty", "Struct"):
    payload = Payload()
    payload.message.type_url = f"type.googleapis.com/google.protobuf.{name}"
    print(to_value(payload))
"""


def test_they_are_opened_whatever_else_the_process_has_imported() -> None:
    """A worker's process knows no more messages than it needs, and opens the same ones as a dispatcher."""
    told = subprocess.run([sys.executable, "-c", WORKERS_PROCESS], capture_output=True, text=True, check=True).stdout
    assert told.split("\n") == ["0", "", "0s", "1970-01-01T00:00:00Z", "", "{}", "{}", ""]


def test_a_malformed_well_known_message_is_refused() -> None:
    """Bytes that are no Timestamp are an error that names the type."""
    bad = Payload()
    bad.message.type_url = "type.googleapis.com/google.protobuf.Timestamp"
    bad.message.value = b"\xff\xff"
    with pytest.raises(PayloadError, match=r"google\.protobuf\.Timestamp"):
        to_value(bad)


def test_a_box_is_opened_once_and_only_when_somebody_looks() -> None:
    """Passing through costs no parse; two looks cost one."""
    box = Box(Payload(json='{"a":1}'))
    assert box.wire() == Payload(json='{"a":1}').SerializeToString()
    assert box.opened == 0
    assert box.value is box.value
    assert box.opened == 1


def test_a_box_changes_its_kind_when_asked() -> None:
    """Wire bytes of the other kind are made from the value, once."""
    box = Box(data({"a": 1}))
    assert box.payload(Kind.DATA).WhichOneof("body") == "data"
    assert box.opened == 0
    assert Payload.FromString(box.wire(Kind.JSON)).json == '{"a":1}'
    assert box.wire(Kind.JSON) is box.wire(Kind.JSON)


def test_a_box_of_rubbish_says_so_every_time_and_reads_it_once() -> None:
    """The error is kept like a value would be."""
    box = Box(Payload(json="{"))
    for _ in range(2):
        with pytest.raises(PayloadError, match="malformed JSON"):
            _ = box.value
    assert box.opened == 1


def test_a_box_around_a_value_writes_it() -> None:
    """A local worker's answer goes out like any other; blobs keep their form in every kind."""
    assert Payload.FromString(Box.of({"a": 1}).wire()).json == '{"a":1}'
    assert Box.of({"a": 1}).value == {"a": 1}
    blob = Payload(blob=Blob(value=b"x"))
    assert Box(blob).wire(Kind.DATA) == blob.SerializeToString()
