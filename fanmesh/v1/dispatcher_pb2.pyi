import datetime

from fanmesh.v1 import aggregator_pb2 as _aggregator_pb2
from fanmesh.v1 import payload_pb2 as _payload_pb2
from fanmesh.v1 import report_pb2 as _report_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PayloadKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYLOAD_KIND_UNSPECIFIED: _ClassVar[PayloadKind]
    PAYLOAD_KIND_DATA: _ClassVar[PayloadKind]
    PAYLOAD_KIND_JSON: _ClassVar[PayloadKind]

class OpKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OP_KIND_UNSPECIFIED: _ClassVar[OpKind]
    OP_KIND_SET: _ClassVar[OpKind]
    OP_KIND_APPEND: _ClassVar[OpKind]
    OP_KIND_REMOVE: _ClassVar[OpKind]
    OP_KIND_RESET: _ClassVar[OpKind]
PAYLOAD_KIND_UNSPECIFIED: PayloadKind
PAYLOAD_KIND_DATA: PayloadKind
PAYLOAD_KIND_JSON: PayloadKind
OP_KIND_UNSPECIFIED: OpKind
OP_KIND_SET: OpKind
OP_KIND_APPEND: OpKind
OP_KIND_REMOVE: OpKind
OP_KIND_RESET: OpKind

class DispatchRequest(_message.Message):
    __slots__ = ("plan", "input", "attributes", "idempotency_key", "budget", "accept", "reply_kind", "failure_in_message")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PLAN_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    REPLY_KIND_FIELD_NUMBER: _ClassVar[int]
    FAILURE_IN_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    plan: str
    input: _payload_pb2.Payload
    attributes: _containers.ScalarMap[str, str]
    idempotency_key: str
    budget: Budget
    accept: Accept
    reply_kind: PayloadKind
    failure_in_message: bool
    def __init__(self, plan: _Optional[str] = ..., input: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., accept: _Optional[_Union[Accept, _Mapping]] = ..., reply_kind: _Optional[_Union[PayloadKind, str]] = ..., failure_in_message: bool = ...) -> None: ...

class DispatchResponse(_message.Message):
    __slots__ = ("result", "report", "outcome")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    result: _payload_pb2.Payload
    report: _report_pb2.Report
    outcome: _status_pb2.Status
    def __init__(self, result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., report: _Optional[_Union[_report_pb2.Report, _Mapping]] = ..., outcome: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class DispatchStreamRequest(_message.Message):
    __slots__ = ("request", "emit", "min_interval")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    request: DispatchRequest
    emit: _aggregator_pb2.EmitMode
    min_interval: _duration_pb2.Duration
    def __init__(self, request: _Optional[_Union[DispatchRequest, _Mapping]] = ..., emit: _Optional[_Union[_aggregator_pb2.EmitMode, str]] = ..., min_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DispatchStreamResponse(_message.Message):
    __slots__ = ("seq", "snapshot", "delta", "branch", "final", "coverage")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    snapshot: _payload_pb2.Payload
    delta: Delta
    branch: _report_pb2.BranchReport
    final: DispatchResponse
    coverage: _report_pb2.Coverage
    def __init__(self, seq: _Optional[int] = ..., snapshot: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., delta: _Optional[_Union[Delta, _Mapping]] = ..., branch: _Optional[_Union[_report_pb2.BranchReport, _Mapping]] = ..., final: _Optional[_Union[DispatchResponse, _Mapping]] = ..., coverage: _Optional[_Union[_report_pb2.Coverage, _Mapping]] = ...) -> None: ...

class Delta(_message.Message):
    __slots__ = ("ops",)
    OPS_FIELD_NUMBER: _ClassVar[int]
    ops: _containers.RepeatedCompositeFieldContainer[Op]
    def __init__(self, ops: _Optional[_Iterable[_Union[Op, _Mapping]]] = ...) -> None: ...

class Op(_message.Message):
    __slots__ = ("path", "kind", "value")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    path: str
    kind: OpKind
    value: _payload_pb2.Payload
    def __init__(self, path: _Optional[str] = ..., kind: _Optional[_Union[OpKind, str]] = ..., value: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("latency", "tokens", "cost_usd_micros")
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_MICROS_FIELD_NUMBER: _ClassVar[int]
    latency: _duration_pb2.Duration
    tokens: int
    cost_usd_micros: int
    def __init__(self, latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tokens: _Optional[int] = ..., cost_usd_micros: _Optional[int] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("min_success", "min_coverage", "required")
    MIN_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MIN_COVERAGE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    min_success: int
    min_coverage: float
    required: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, min_success: _Optional[int] = ..., min_coverage: _Optional[float] = ..., required: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: DispatchRequest
    def __init__(self, request: _Optional[_Union[DispatchRequest, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("plan", "route", "config_version", "total", "stop", "soft_timeout", "nodes", "completion", "merge", "worst_cost", "predicate", "predicate_min_interval")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SOFT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    WORST_COST_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_MIN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    plan: str
    route: str
    config_version: str
    total: _duration_pb2.Duration
    stop: _duration_pb2.Duration
    soft_timeout: _duration_pb2.Duration
    nodes: _containers.RepeatedCompositeFieldContainer[ExplainNode]
    completion: _aggregator_pb2.CompletionRule
    merge: _aggregator_pb2.MergeSpec
    worst_cost: _payload_pb2.Usage
    predicate: str
    predicate_min_interval: _duration_pb2.Duration
    def __init__(self, plan: _Optional[str] = ..., route: _Optional[str] = ..., config_version: _Optional[str] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stop: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., soft_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[ExplainNode, _Mapping]]] = ..., completion: _Optional[_Union[_aggregator_pb2.CompletionRule, _Mapping]] = ..., merge: _Optional[_Union[_aggregator_pb2.MergeSpec, _Mapping]] = ..., worst_cost: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., predicate: _Optional[str] = ..., predicate_min_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExplainNode(_message.Message):
    __slots__ = ("branch", "worker", "target", "endpoints", "runs", "reason", "condition", "required", "weight", "soft_timeout", "deadline", "sla", "if_missing", "layers", "waits_for", "conditional", "min_time", "asks", "feeds", "ends_by", "for_each")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SOFT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    SLA_FIELD_NUMBER: _ClassVar[int]
    IF_MISSING_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    CONDITIONAL_FIELD_NUMBER: _ClassVar[int]
    MIN_TIME_FIELD_NUMBER: _ClassVar[int]
    ASKS_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_BY_FIELD_NUMBER: _ClassVar[int]
    FOR_EACH_FIELD_NUMBER: _ClassVar[int]
    branch: str
    worker: str
    target: str
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    runs: bool
    reason: _report_pb2.BranchReason
    condition: str
    required: bool
    weight: float
    soft_timeout: _duration_pb2.Duration
    deadline: _duration_pb2.Duration
    sla: _duration_pb2.Duration
    if_missing: _aggregator_pb2.IfMissing
    layers: _containers.RepeatedScalarFieldContainer[str]
    waits_for: _containers.RepeatedScalarFieldContainer[str]
    conditional: bool
    min_time: _duration_pb2.Duration
    asks: _containers.RepeatedScalarFieldContainer[str]
    feeds: _containers.RepeatedScalarFieldContainer[str]
    ends_by: _duration_pb2.Duration
    for_each: str
    def __init__(self, branch: _Optional[str] = ..., worker: _Optional[str] = ..., target: _Optional[str] = ..., endpoints: _Optional[_Iterable[str]] = ..., runs: bool = ..., reason: _Optional[_Union[_report_pb2.BranchReason, str]] = ..., condition: _Optional[str] = ..., required: bool = ..., weight: _Optional[float] = ..., soft_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., sla: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., if_missing: _Optional[_Union[_aggregator_pb2.IfMissing, str]] = ..., layers: _Optional[_Iterable[str]] = ..., waits_for: _Optional[_Iterable[str]] = ..., conditional: bool = ..., min_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., asks: _Optional[_Iterable[str]] = ..., feeds: _Optional[_Iterable[str]] = ..., ends_by: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., for_each: _Optional[str] = ...) -> None: ...
