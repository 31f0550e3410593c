import datetime

from fanmesh.v1 import payload_pb2 as _payload_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BranchState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BRANCH_STATE_UNSPECIFIED: _ClassVar[BranchState]
    BRANCH_STATE_PENDING: _ClassVar[BranchState]
    BRANCH_STATE_SUCCEEDED: _ClassVar[BranchState]
    BRANCH_STATE_DEFAULTED: _ClassVar[BranchState]
    BRANCH_STATE_FELL_BACK: _ClassVar[BranchState]
    BRANCH_STATE_SKIPPED: _ClassVar[BranchState]
    BRANCH_STATE_REJECTED: _ClassVar[BranchState]
    BRANCH_STATE_TIMED_OUT: _ClassVar[BranchState]
    BRANCH_STATE_FAILED: _ClassVar[BranchState]
    BRANCH_STATE_CANCELLED: _ClassVar[BranchState]

class BranchReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BRANCH_REASON_UNSPECIFIED: _ClassVar[BranchReason]
    BRANCH_REASON_CONDITION: _ClassVar[BranchReason]
    BRANCH_REASON_CONDITION_ERROR: _ClassVar[BranchReason]
    BRANCH_REASON_ROLLOUT: _ClassVar[BranchReason]
    BRANCH_REASON_BUDGET: _ClassVar[BranchReason]
    BRANCH_REASON_BREAKER_OPEN: _ClassVar[BranchReason]
    BRANCH_REASON_OVERLOAD: _ClassVar[BranchReason]
    BRANCH_REASON_RATE_LIMIT: _ClassVar[BranchReason]
    BRANCH_REASON_SOFT_TIMEOUT: _ClassVar[BranchReason]
    BRANCH_REASON_HARD_TIMEOUT: _ClassVar[BranchReason]
    BRANCH_REASON_REQUEST_DEADLINE: _ClassVar[BranchReason]
    BRANCH_REASON_NOT_STARTED_NO_TIME: _ClassVar[BranchReason]
    BRANCH_REASON_WORKER_ERROR: _ClassVar[BranchReason]
    BRANCH_REASON_UPSTREAM_MISSING: _ClassVar[BranchReason]
    BRANCH_REASON_COMPLETION_MET: _ClassVar[BranchReason]
    BRANCH_REASON_CALLER_GONE: _ClassVar[BranchReason]
    BRANCH_REASON_INVALID_RESPONSE: _ClassVar[BranchReason]
    BRANCH_REASON_TOO_LARGE: _ClassVar[BranchReason]
    BRANCH_REASON_LATE: _ClassVar[BranchReason]
    BRANCH_REASON_STREAM_BROKEN: _ClassVar[BranchReason]

class CompletedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPLETED_BY_UNSPECIFIED: _ClassVar[CompletedBy]
    COMPLETED_BY_ALL: _ClassVar[CompletedBy]
    COMPLETED_BY_FIRST: _ClassVar[CompletedBy]
    COMPLETED_BY_COUNT: _ClassVar[CompletedBy]
    COMPLETED_BY_REQUIRED: _ClassVar[CompletedBy]
    COMPLETED_BY_COVERAGE: _ClassVar[CompletedBy]
    COMPLETED_BY_PREDICATE: _ClassVar[CompletedBy]
    COMPLETED_BY_CONFIDENCE: _ClassVar[CompletedBy]
    COMPLETED_BY_SOFT_TIMEOUT: _ClassVar[CompletedBy]
    COMPLETED_BY_HARD_TIMEOUT: _ClassVar[CompletedBy]
    COMPLETED_BY_QUIET: _ClassVar[CompletedBy]
    COMPLETED_BY_BRANCH_FAILURE: _ClassVar[CompletedBy]
    COMPLETED_BY_CALLER_GONE: _ClassVar[CompletedBy]
    COMPLETED_BY_UNREACHABLE: _ClassVar[CompletedBy]
    COMPLETED_BY_EMPTY: _ClassVar[CompletedBy]

class AggregatorMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGGREGATOR_MODE_UNSPECIFIED: _ClassVar[AggregatorMode]
    AGGREGATOR_MODE_EMBEDDED: _ClassVar[AggregatorMode]
    AGGREGATOR_MODE_REMOTE: _ClassVar[AggregatorMode]
    AGGREGATOR_MODE_FELL_BACK: _ClassVar[AggregatorMode]

class AttemptKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_KIND_UNSPECIFIED: _ClassVar[AttemptKind]
    ATTEMPT_KIND_FIRST: _ClassVar[AttemptKind]
    ATTEMPT_KIND_RETRY: _ClassVar[AttemptKind]
    ATTEMPT_KIND_HEDGE: _ClassVar[AttemptKind]
    ATTEMPT_KIND_SHADOW: _ClassVar[AttemptKind]
    ATTEMPT_KIND_PROBE: _ClassVar[AttemptKind]
BRANCH_STATE_UNSPECIFIED: BranchState
BRANCH_STATE_PENDING: BranchState
BRANCH_STATE_SUCCEEDED: BranchState
BRANCH_STATE_DEFAULTED: BranchState
BRANCH_STATE_FELL_BACK: BranchState
BRANCH_STATE_SKIPPED: BranchState
BRANCH_STATE_REJECTED: BranchState
BRANCH_STATE_TIMED_OUT: BranchState
BRANCH_STATE_FAILED: BranchState
BRANCH_STATE_CANCELLED: BranchState
BRANCH_REASON_UNSPECIFIED: BranchReason
BRANCH_REASON_CONDITION: BranchReason
BRANCH_REASON_CONDITION_ERROR: BranchReason
BRANCH_REASON_ROLLOUT: BranchReason
BRANCH_REASON_BUDGET: BranchReason
BRANCH_REASON_BREAKER_OPEN: BranchReason
BRANCH_REASON_OVERLOAD: BranchReason
BRANCH_REASON_RATE_LIMIT: BranchReason
BRANCH_REASON_SOFT_TIMEOUT: BranchReason
BRANCH_REASON_HARD_TIMEOUT: BranchReason
BRANCH_REASON_REQUEST_DEADLINE: BranchReason
BRANCH_REASON_NOT_STARTED_NO_TIME: BranchReason
BRANCH_REASON_WORKER_ERROR: BranchReason
BRANCH_REASON_UPSTREAM_MISSING: BranchReason
BRANCH_REASON_COMPLETION_MET: BranchReason
BRANCH_REASON_CALLER_GONE: BranchReason
BRANCH_REASON_INVALID_RESPONSE: BranchReason
BRANCH_REASON_TOO_LARGE: BranchReason
BRANCH_REASON_LATE: BranchReason
BRANCH_REASON_STREAM_BROKEN: BranchReason
COMPLETED_BY_UNSPECIFIED: CompletedBy
COMPLETED_BY_ALL: CompletedBy
COMPLETED_BY_FIRST: CompletedBy
COMPLETED_BY_COUNT: CompletedBy
COMPLETED_BY_REQUIRED: CompletedBy
COMPLETED_BY_COVERAGE: CompletedBy
COMPLETED_BY_PREDICATE: CompletedBy
COMPLETED_BY_CONFIDENCE: CompletedBy
COMPLETED_BY_SOFT_TIMEOUT: CompletedBy
COMPLETED_BY_HARD_TIMEOUT: CompletedBy
COMPLETED_BY_QUIET: CompletedBy
COMPLETED_BY_BRANCH_FAILURE: CompletedBy
COMPLETED_BY_CALLER_GONE: CompletedBy
COMPLETED_BY_UNREACHABLE: CompletedBy
COMPLETED_BY_EMPTY: CompletedBy
AGGREGATOR_MODE_UNSPECIFIED: AggregatorMode
AGGREGATOR_MODE_EMBEDDED: AggregatorMode
AGGREGATOR_MODE_REMOTE: AggregatorMode
AGGREGATOR_MODE_FELL_BACK: AggregatorMode
ATTEMPT_KIND_UNSPECIFIED: AttemptKind
ATTEMPT_KIND_FIRST: AttemptKind
ATTEMPT_KIND_RETRY: AttemptKind
ATTEMPT_KIND_HEDGE: AttemptKind
ATTEMPT_KIND_SHADOW: AttemptKind
ATTEMPT_KIND_PROBE: AttemptKind

class Report(_message.Message):
    __slots__ = ("request_id", "plan", "route", "config_version", "trace_id", "complete", "completed_by", "coverage", "degraded", "branches", "budget", "conflicts", "elapsed", "aggregator_mode", "overrides", "critical_path")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_BY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_MODE_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_PATH_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    plan: str
    route: str
    config_version: str
    trace_id: str
    complete: bool
    completed_by: CompletedBy
    coverage: Coverage
    degraded: Degraded
    branches: _containers.RepeatedCompositeFieldContainer[BranchReport]
    budget: BudgetReport
    conflicts: _containers.RepeatedCompositeFieldContainer[Conflict]
    elapsed: _duration_pb2.Duration
    aggregator_mode: AggregatorMode
    overrides: _containers.RepeatedScalarFieldContainer[str]
    critical_path: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., plan: _Optional[str] = ..., route: _Optional[str] = ..., config_version: _Optional[str] = ..., trace_id: _Optional[str] = ..., complete: bool = ..., completed_by: _Optional[_Union[CompletedBy, str]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., degraded: _Optional[_Union[Degraded, _Mapping]] = ..., branches: _Optional[_Iterable[_Union[BranchReport, _Mapping]]] = ..., budget: _Optional[_Union[BudgetReport, _Mapping]] = ..., conflicts: _Optional[_Iterable[_Union[Conflict, _Mapping]]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., aggregator_mode: _Optional[_Union[AggregatorMode, str]] = ..., overrides: _Optional[_Iterable[str]] = ..., critical_path: _Optional[_Iterable[str]] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("ratio", "weight_ok", "weight_total", "planned", "started", "succeeded", "defaulted", "fell_back", "failed", "timed_out", "skipped", "rejected", "cancelled", "pending")
    RATIO_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_OK_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    DEFAULTED_FIELD_NUMBER: _ClassVar[int]
    FELL_BACK_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    ratio: float
    weight_ok: float
    weight_total: float
    planned: int
    started: int
    succeeded: int
    defaulted: int
    fell_back: int
    failed: int
    timed_out: int
    skipped: int
    rejected: int
    cancelled: int
    pending: int
    def __init__(self, ratio: _Optional[float] = ..., weight_ok: _Optional[float] = ..., weight_total: _Optional[float] = ..., planned: _Optional[int] = ..., started: _Optional[int] = ..., succeeded: _Optional[int] = ..., defaulted: _Optional[int] = ..., fell_back: _Optional[int] = ..., failed: _Optional[int] = ..., timed_out: _Optional[int] = ..., skipped: _Optional[int] = ..., rejected: _Optional[int] = ..., cancelled: _Optional[int] = ..., pending: _Optional[int] = ...) -> None: ...

class Degraded(_message.Message):
    __slots__ = ("soft_timeout", "hard_timeout", "breaker", "budget", "overload", "missing_input", "defaulted", "error", "partial_branch")
    SOFT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HARD_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    OVERLOAD_FIELD_NUMBER: _ClassVar[int]
    MISSING_INPUT_FIELD_NUMBER: _ClassVar[int]
    DEFAULTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_BRANCH_FIELD_NUMBER: _ClassVar[int]
    soft_timeout: bool
    hard_timeout: bool
    breaker: bool
    budget: bool
    overload: bool
    missing_input: bool
    defaulted: bool
    error: bool
    partial_branch: bool
    def __init__(self, soft_timeout: bool = ..., hard_timeout: bool = ..., breaker: bool = ..., budget: bool = ..., overload: bool = ..., missing_input: bool = ..., defaulted: bool = ..., error: bool = ..., partial_branch: bool = ...) -> None: ...

class BranchReport(_message.Message):
    __slots__ = ("branch", "item", "item_key", "worker", "endpoint", "state", "reason", "status", "attempts", "started_after", "elapsed", "queued", "required", "weight", "sla_met", "confidence", "usage", "rollout", "merged", "span_id", "decisions")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SLA_MET_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    MERGED_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    branch: str
    item: int
    item_key: str
    worker: str
    endpoint: str
    state: BranchState
    reason: BranchReason
    status: _status_pb2.Status
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptReport]
    started_after: _duration_pb2.Duration
    elapsed: _duration_pb2.Duration
    queued: _duration_pb2.Duration
    required: bool
    weight: float
    sla_met: bool
    confidence: float
    usage: _payload_pb2.Usage
    rollout: str
    merged: bool
    span_id: str
    decisions: _containers.RepeatedCompositeFieldContainer[PolicyDecision]
    def __init__(self, branch: _Optional[str] = ..., item: _Optional[int] = ..., item_key: _Optional[str] = ..., worker: _Optional[str] = ..., endpoint: _Optional[str] = ..., state: _Optional[_Union[BranchState, str]] = ..., reason: _Optional[_Union[BranchReason, str]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[AttemptReport, _Mapping]]] = ..., started_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queued: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., required: bool = ..., weight: _Optional[float] = ..., sla_met: bool = ..., confidence: _Optional[float] = ..., usage: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., rollout: _Optional[str] = ..., merged: bool = ..., span_id: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[PolicyDecision, _Mapping]]] = ...) -> None: ...

class PolicyDecision(_message.Message):
    __slots__ = ("what", "why", "after", "endpoint")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    what: str
    why: str
    after: _duration_pb2.Duration
    endpoint: str
    def __init__(self, what: _Optional[str] = ..., why: _Optional[str] = ..., after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., endpoint: _Optional[str] = ...) -> None: ...

class AttemptReport(_message.Message):
    __slots__ = ("number", "kind", "endpoint", "started_after", "elapsed", "code", "fault", "won", "cancelled", "usage", "worker")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    WON_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    number: int
    kind: AttemptKind
    endpoint: str
    started_after: _duration_pb2.Duration
    elapsed: _duration_pb2.Duration
    code: int
    fault: str
    won: bool
    cancelled: bool
    usage: _payload_pb2.Usage
    worker: str
    def __init__(self, number: _Optional[int] = ..., kind: _Optional[_Union[AttemptKind, str]] = ..., endpoint: _Optional[str] = ..., started_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., code: _Optional[int] = ..., fault: _Optional[str] = ..., won: bool = ..., cancelled: bool = ..., usage: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., worker: _Optional[str] = ...) -> None: ...

class BudgetReport(_message.Message):
    __slots__ = ("limit", "reserved", "spent", "overrun")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    OVERRUN_FIELD_NUMBER: _ClassVar[int]
    limit: _payload_pb2.Usage
    reserved: _payload_pb2.Usage
    spent: _payload_pb2.Usage
    overrun: _payload_pb2.Usage
    def __init__(self, limit: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., reserved: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., spent: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ..., overrun: _Optional[_Union[_payload_pb2.Usage, _Mapping]] = ...) -> None: ...

class Conflict(_message.Message):
    __slots__ = ("path", "values", "chosen")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    path: str
    values: _containers.MessageMap[str, _struct_pb2.Value]
    chosen: str
    def __init__(self, path: _Optional[str] = ..., values: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., chosen: _Optional[str] = ...) -> None: ...

class ReportSummary(_message.Message):
    __slots__ = ("request_id", "plan", "trace_id", "completed_by", "coverage", "degraded", "worst", "elapsed", "truncated")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_BY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    WORST_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    plan: str
    trace_id: str
    completed_by: CompletedBy
    coverage: Coverage
    degraded: Degraded
    worst: _containers.RepeatedCompositeFieldContainer[BranchReport]
    elapsed: _duration_pb2.Duration
    truncated: bool
    def __init__(self, request_id: _Optional[str] = ..., plan: _Optional[str] = ..., trace_id: _Optional[str] = ..., completed_by: _Optional[_Union[CompletedBy, str]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., degraded: _Optional[_Union[Degraded, _Mapping]] = ..., worst: _Optional[_Iterable[_Union[BranchReport, _Mapping]]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., truncated: bool = ...) -> None: ...
