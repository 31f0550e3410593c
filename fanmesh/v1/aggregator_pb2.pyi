import datetime

from fanmesh.v1 import payload_pb2 as _payload_pb2
from fanmesh.v1 import report_pb2 as _report_pb2
from fanmesh.v1 import worker_pb2 as _worker_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IfMissing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IF_MISSING_UNSPECIFIED: _ClassVar[IfMissing]
    IF_MISSING_SKIP: _ClassVar[IfMissing]
    IF_MISSING_USE: _ClassVar[IfMissing]
    IF_MISSING_FAIL: _ClassVar[IfMissing]

class Gather(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATHER_UNSPECIFIED: _ClassVar[Gather]
    GATHER_LIST: _ClassVar[Gather]
    GATHER_CONCAT: _ClassVar[Gather]
    GATHER_MAP: _ClassVar[Gather]

class OnFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_FAILURE_UNSPECIFIED: _ClassVar[OnFailure]
    ON_FAILURE_SETTLE: _ClassVar[OnFailure]
    ON_FAILURE_STOP_NEW: _ClassVar[OnFailure]
    ON_FAILURE_CANCEL_ALL: _ClassVar[OnFailure]

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_PLANNED: _ClassVar[ChangeKind]
    CHANGE_KIND_STARTED: _ClassVar[ChangeKind]
    CHANGE_KIND_EXCLUDED: _ClassVar[ChangeKind]
    CHANGE_KIND_EXPANDED: _ClassVar[ChangeKind]

class AlarmKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_KIND_UNSPECIFIED: _ClassVar[AlarmKind]
    ALARM_KIND_BRANCH_SOFT: _ClassVar[AlarmKind]
    ALARM_KIND_PLAN_SOFT: _ClassVar[AlarmKind]
    ALARM_KIND_GRACE: _ClassVar[AlarmKind]
    ALARM_KIND_QUIET: _ClassVar[AlarmKind]
    ALARM_KIND_STOP: _ClassVar[AlarmKind]
    ALARM_KIND_PREDICATE: _ClassVar[AlarmKind]

class EmitMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EMIT_MODE_UNSPECIFIED: _ClassVar[EmitMode]
    EMIT_MODE_FINAL: _ClassVar[EmitMode]
    EMIT_MODE_SNAPSHOT: _ClassVar[EmitMode]
    EMIT_MODE_DELTA: _ClassVar[EmitMode]
    EMIT_MODE_BRANCH_EVENTS: _ClassVar[EmitMode]
IF_MISSING_UNSPECIFIED: IfMissing
IF_MISSING_SKIP: IfMissing
IF_MISSING_USE: IfMissing
IF_MISSING_FAIL: IfMissing
GATHER_UNSPECIFIED: Gather
GATHER_LIST: Gather
GATHER_CONCAT: Gather
GATHER_MAP: Gather
ON_FAILURE_UNSPECIFIED: OnFailure
ON_FAILURE_SETTLE: OnFailure
ON_FAILURE_STOP_NEW: OnFailure
ON_FAILURE_CANCEL_ALL: OnFailure
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_PLANNED: ChangeKind
CHANGE_KIND_STARTED: ChangeKind
CHANGE_KIND_EXCLUDED: ChangeKind
CHANGE_KIND_EXPANDED: ChangeKind
ALARM_KIND_UNSPECIFIED: AlarmKind
ALARM_KIND_BRANCH_SOFT: AlarmKind
ALARM_KIND_PLAN_SOFT: AlarmKind
ALARM_KIND_GRACE: AlarmKind
ALARM_KIND_QUIET: AlarmKind
ALARM_KIND_STOP: AlarmKind
ALARM_KIND_PREDICATE: AlarmKind
EMIT_MODE_UNSPECIFIED: EmitMode
EMIT_MODE_FINAL: EmitMode
EMIT_MODE_SNAPSHOT: EmitMode
EMIT_MODE_DELTA: EmitMode
EMIT_MODE_BRANCH_EVENTS: EmitMode

class AggregateRequest(_message.Message):
    __slots__ = ("seq", "at", "start", "change", "part", "end", "alarm")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    seq: int
    at: _duration_pb2.Duration
    start: AggregateStart
    change: BranchChange
    part: BranchPart
    end: BranchEnd
    alarm: Alarm
    def __init__(self, seq: _Optional[int] = ..., at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start: _Optional[_Union[AggregateStart, _Mapping]] = ..., change: _Optional[_Union[BranchChange, _Mapping]] = ..., part: _Optional[_Union[BranchPart, _Mapping]] = ..., end: _Optional[_Union[BranchEnd, _Mapping]] = ..., alarm: _Optional[_Union[Alarm, _Mapping]] = ...) -> None: ...

class AggregateResponse(_message.Message):
    __slots__ = ("ack", "arm", "update", "verdict", "result")
    ACK_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ack: Ack
    arm: Arm
    update: AggregateUpdate
    verdict: Verdict
    result: AggregateResult
    def __init__(self, ack: _Optional[_Union[Ack, _Mapping]] = ..., arm: _Optional[_Union[Arm, _Mapping]] = ..., update: _Optional[_Union[AggregateUpdate, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., result: _Optional[_Union[AggregateResult, _Mapping]] = ...) -> None: ...

class AggregateStart(_message.Message):
    __slots__ = ("request_id", "plan", "nodes", "stop", "total", "completion", "merge", "emit", "min_interval", "predicate", "traceparent", "predicate_min_interval", "predicate_attributes")
    class PredicateAttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_MIN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    plan: str
    nodes: _containers.RepeatedCompositeFieldContainer[AggregateNode]
    stop: _duration_pb2.Duration
    total: _duration_pb2.Duration
    completion: CompletionRule
    merge: MergeSpec
    emit: EmitMode
    min_interval: _duration_pb2.Duration
    predicate: str
    traceparent: str
    predicate_min_interval: _duration_pb2.Duration
    predicate_attributes: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., plan: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[AggregateNode, _Mapping]]] = ..., stop: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., completion: _Optional[_Union[CompletionRule, _Mapping]] = ..., merge: _Optional[_Union[MergeSpec, _Mapping]] = ..., emit: _Optional[_Union[EmitMode, str]] = ..., min_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., predicate: _Optional[str] = ..., traceparent: _Optional[str] = ..., predicate_min_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., predicate_attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AggregateNode(_message.Message):
    __slots__ = ("id", "weight", "required", "soft_timeout", "if_missing", "default_value", "write", "gather")
    ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    SOFT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    IF_MISSING_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    GATHER_FIELD_NUMBER: _ClassVar[int]
    id: str
    weight: float
    required: bool
    soft_timeout: _duration_pb2.Duration
    if_missing: IfMissing
    default_value: _payload_pb2.Payload
    write: bool
    gather: Gather
    def __init__(self, id: _Optional[str] = ..., weight: _Optional[float] = ..., required: bool = ..., soft_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., if_missing: _Optional[_Union[IfMissing, str]] = ..., default_value: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., write: bool = ..., gather: _Optional[_Union[Gather, str]] = ...) -> None: ...

class CompletionRule(_message.Message):
    __slots__ = ("until", "soft_timeout", "min_success", "min_coverage", "grace_min", "grace_max", "on_branch_failure")
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    SOFT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MIN_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MIN_COVERAGE_FIELD_NUMBER: _ClassVar[int]
    GRACE_MIN_FIELD_NUMBER: _ClassVar[int]
    GRACE_MAX_FIELD_NUMBER: _ClassVar[int]
    ON_BRANCH_FAILURE_FIELD_NUMBER: _ClassVar[int]
    until: _containers.RepeatedCompositeFieldContainer[Until]
    soft_timeout: _duration_pb2.Duration
    min_success: int
    min_coverage: float
    grace_min: float
    grace_max: float
    on_branch_failure: OnFailure
    def __init__(self, until: _Optional[_Iterable[_Union[Until, _Mapping]]] = ..., soft_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., min_success: _Optional[int] = ..., min_coverage: _Optional[float] = ..., grace_min: _Optional[float] = ..., grace_max: _Optional[float] = ..., on_branch_failure: _Optional[_Union[OnFailure, str]] = ...) -> None: ...

class Until(_message.Message):
    __slots__ = ("all", "first", "count", "required", "coverage", "predicate", "confidence", "quiet")
    ALL_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    QUIET_FIELD_NUMBER: _ClassVar[int]
    all: bool
    first: bool
    count: int
    required: bool
    coverage: float
    predicate: bool
    confidence: float
    quiet: _duration_pb2.Duration
    def __init__(self, all: bool = ..., first: bool = ..., count: _Optional[int] = ..., required: bool = ..., coverage: _Optional[float] = ..., predicate: bool = ..., confidence: _Optional[float] = ..., quiet: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class MergeSpec(_message.Message):
    __slots__ = ("kind", "options_json")
    KIND_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    kind: str
    options_json: str
    def __init__(self, kind: _Optional[str] = ..., options_json: _Optional[str] = ...) -> None: ...

class BranchChange(_message.Message):
    __slots__ = ("branch", "kind", "reason", "items", "item", "tolerated")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    TOLERATED_FIELD_NUMBER: _ClassVar[int]
    branch: str
    kind: ChangeKind
    reason: _report_pb2.BranchReason
    items: _containers.RepeatedScalarFieldContainer[str]
    item: int
    tolerated: int
    def __init__(self, branch: _Optional[str] = ..., kind: _Optional[_Union[ChangeKind, str]] = ..., reason: _Optional[_Union[_report_pb2.BranchReason, str]] = ..., items: _Optional[_Iterable[str]] = ..., item: _Optional[int] = ..., tolerated: _Optional[int] = ...) -> None: ...

class BranchPart(_message.Message):
    __slots__ = ("branch", "item", "attempt", "part_seq", "mode", "payload", "confidence", "span_id", "trace_flags")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PART_SEQ_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_FLAGS_FIELD_NUMBER: _ClassVar[int]
    branch: str
    item: int
    attempt: int
    part_seq: int
    mode: _worker_pb2.PartMode
    payload: _payload_pb2.Payload
    confidence: float
    span_id: bytes
    trace_flags: int
    def __init__(self, branch: _Optional[str] = ..., item: _Optional[int] = ..., attempt: _Optional[int] = ..., part_seq: _Optional[int] = ..., mode: _Optional[_Union[_worker_pb2.PartMode, str]] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., confidence: _Optional[float] = ..., span_id: _Optional[bytes] = ..., trace_flags: _Optional[int] = ...) -> None: ...

class BranchEnd(_message.Message):
    __slots__ = ("branch", "item", "attempt", "state", "reason", "confidence", "usage", "status", "payload", "span_id", "trace_flags")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_FLAGS_FIELD_NUMBER: _ClassVar[int]
    branch: str
    item: int
    attempt: int
    state: _report_pb2.BranchState
    reason: _report_pb2.BranchReason
    confidence: float
    usage: _payload_pb2.Usage
    status: _status_pb2.Status
    payload: _payload_pb2.Payload
    span_id: bytes
    trace_flags: int
    def __init__(self, branch: _Optional[str] = ..., item: _Optional[int] = ..., attempt: _Optional[int] = ..., state: _Optional[_Union[_report_pb2.BranchState, str]] = ..., reason: _Optional[_Union[_report_pb2.BranchReason, str]] = ..., confidence: _Optional[float] = ..., usage: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., span_id: _Optional[bytes] = ..., trace_flags: _Optional[int] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("kind", "branch")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    kind: AlarmKind
    branch: str
    def __init__(self, kind: _Optional[_Union[AlarmKind, str]] = ..., branch: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("kind", "at")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    kind: AlarmKind
    at: _duration_pb2.Duration
    def __init__(self, kind: _Optional[_Union[AlarmKind, str]] = ..., at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AggregateUpdate(_message.Message):
    __slots__ = ("payload", "coverage")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    payload: _payload_pb2.Payload
    coverage: _report_pb2.Coverage
    def __init__(self, payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., coverage: _Optional[_Union[_report_pb2.Coverage, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("completed_by", "applied_seq", "at", "accepted")
    COMPLETED_BY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    completed_by: _report_pb2.CompletedBy
    applied_seq: int
    at: _duration_pb2.Duration
    accepted: bool
    def __init__(self, completed_by: _Optional[_Union[_report_pb2.CompletedBy, str]] = ..., applied_seq: _Optional[int] = ..., at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., accepted: bool = ...) -> None: ...

class AggregateResult(_message.Message):
    __slots__ = ("payload", "coverage", "conflicts", "merged", "error")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    MERGED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    payload: _payload_pb2.Payload
    coverage: _report_pb2.Coverage
    conflicts: _containers.RepeatedCompositeFieldContainer[_report_pb2.Conflict]
    merged: _containers.RepeatedScalarFieldContainer[str]
    error: str
    def __init__(self, payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., coverage: _Optional[_Union[_report_pb2.Coverage, _Mapping]] = ..., conflicts: _Optional[_Iterable[_Union[_report_pb2.Conflict, _Mapping]]] = ..., merged: _Optional[_Iterable[str]] = ..., error: _Optional[str] = ...) -> None: ...
