from fanmesh.v1 import payload_pb2 as _payload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PartMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PART_MODE_UNSPECIFIED: _ClassVar[PartMode]
    PART_MODE_APPEND: _ClassVar[PartMode]
    PART_MODE_REPLACE: _ClassVar[PartMode]
PART_MODE_UNSPECIFIED: PartMode
PART_MODE_APPEND: PartMode
PART_MODE_REPLACE: PartMode

class ProcessRequest(_message.Message):
    __slots__ = ("request_id", "plan", "branch", "item_key", "input", "attributes", "idempotency_key", "allowance", "attempt", "shadow")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ALLOWANCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    plan: str
    branch: str
    item_key: str
    input: _payload_pb2.Payload
    attributes: _containers.ScalarMap[str, str]
    idempotency_key: str
    allowance: _payload_pb2.Usage
    attempt: int
    shadow: bool
    def __init__(self, request_id: _Optional[str] = ..., plan: _Optional[str] = ..., branch: _Optional[str] = ..., item_key: _Optional[str] = ..., input: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ..., allowance: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., attempt: _Optional[int] = ..., shadow: bool = ...) -> None: ...

class ProcessResponse(_message.Message):
    __slots__ = ("output", "confidence", "usage", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    output: _payload_pb2.Payload
    confidence: float
    usage: _payload_pb2.Usage
    labels: _containers.ScalarMap[str, str]
    def __init__(self, output: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., confidence: _Optional[float] = ..., usage: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ProcessStreamRequest(_message.Message):
    __slots__ = ("request_id", "plan", "branch", "item_key", "input", "attributes", "idempotency_key", "allowance", "attempt", "shadow")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ALLOWANCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    plan: str
    branch: str
    item_key: str
    input: _payload_pb2.Payload
    attributes: _containers.ScalarMap[str, str]
    idempotency_key: str
    allowance: _payload_pb2.Usage
    attempt: int
    shadow: bool
    def __init__(self, request_id: _Optional[str] = ..., plan: _Optional[str] = ..., branch: _Optional[str] = ..., item_key: _Optional[str] = ..., input: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ..., allowance: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., attempt: _Optional[int] = ..., shadow: bool = ...) -> None: ...

class ProcessStreamResponse(_message.Message):
    __slots__ = ("part", "mode", "confidence", "usage", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PART_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    part: _payload_pb2.Payload
    mode: PartMode
    confidence: float
    usage: _payload_pb2.Usage
    labels: _containers.ScalarMap[str, str]
    def __init__(self, part: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., mode: _Optional[_Union[PartMode, str]] = ..., confidence: _Optional[float] = ..., usage: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...
