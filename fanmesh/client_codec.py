"""Everything about calling a dispatcher but the calling: shared by the asynchronous client and its blocking twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from typing_extensions import TypeVar

from fanmesh.fitting import fitted
from fanmesh.jsontext import encode
from fanmesh.model.delta import Op, OpKind, Unfoldable, fold
from fanmesh.model.fault import Code
from fanmesh.model.report import Report
from fanmesh.model.states import EmitMode
from fanmesh.model.times import SECOND, number
from fanmesh.model.values import Opaque, Value
from fanmesh.money import micros
from fanmesh.payload import from_value, to_value
from fanmesh.reporting import duration, from_branch, from_coverage, from_report, from_summary
from fanmesh.result import Accept, BranchEvent, Budget, DispatchFailed, Result, Snapshot
from fanmesh.runtime import ambient
from fanmesh.transport import status
from fanmesh.transport.port import Metadata, RpcError
from fanmesh.v1 import dispatcher_pb2
from fanmesh.v1.payload_pb2 import Payload
from fanmesh.v1.report_pb2 import ReportSummary

T = TypeVar("T", default=Any)

DISPATCH: Final = "/fanmesh.v1.DispatcherService/Dispatch"
DISPATCH_STREAM: Final = "/fanmesh.v1.DispatcherService/DispatchStream"
EXPLAIN: Final = "/fanmesh.v1.DispatcherService/Explain"

UNREADABLE: Final = "UNREADABLE_REPLY"


def request(
    plan: str,
    data: object,
    *,
    attributes: Mapping[str, str] | None = None,
    idempotency_key: str = "",
    budget: Budget | None = None,
    accept: Accept | None = None,
    full_report: bool = False,
) -> dispatcher_pb2.DispatchRequest:
    """The request. `data` is anything that `plain` understands, or an Opaque.

    PayloadError names what is not JSON in it, TypeError an argument of a wrong kind.
    """
    _text("plan", plan)
    _text("idempotency_key", idempotency_key)
    for key, value in (attributes or {}).items():
        _text("attributes", key)
        _text("attributes", value, f", the value of {key!r},")
    out = dispatcher_pb2.DispatchRequest(
        plan=plan,
        input=from_value(data) if isinstance(data, Opaque) else Payload(json=encode(data).decode()),
        attributes=attributes or {},
        idempotency_key=idempotency_key,
        failure_in_message=full_report,
    )
    if budget is not None:
        out.budget.CopyFrom(_budget(budget))
    if accept is not None:
        if accept.min_success is not None:
            out.accept.min_success = accept.min_success
        if accept.min_coverage is not None:
            out.accept.min_coverage = accept.min_coverage
        out.accept.required.extend(accept.required)
    return out


def _text(name: str, value: object, which: str = "") -> None:
    """Refuse what is no string: protobuf would not say which argument it was."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r}{which} is not a string")


def _budget(budget: Budget) -> dispatcher_pb2.Budget:
    out = dispatcher_pb2.Budget(tokens=budget.tokens or 0, cost_usd_micros=micros(budget.usd) if budget.usd else 0)
    if budget.latency is not None:
        out.latency.CopyFrom(duration(round(number("budget.latency", budget.latency) * SECOND)))
    return out


def stream_request(
    inner: dispatcher_pb2.DispatchRequest, emit: EmitMode, min_interval: float
) -> dispatcher_pb2.DispatchStreamRequest:
    """The request of a stream. `min_interval` in seconds."""
    out = dispatcher_pb2.DispatchStreamRequest(request=inner)
    out.emit = int(emit)  # type: ignore[assignment]  # an enum is a number at run time
    if number("min_interval", min_interval):
        out.min_interval.CopyFrom(duration(round(min_interval * SECOND)))
    return out


def explain_request(inner: dispatcher_pb2.DispatchRequest) -> dispatcher_pb2.ExplainRequest:
    """The request of Explain."""
    return dispatcher_pb2.ExplainRequest(request=inner)


def metadata(more: Mapping[str, str] | None) -> Metadata:
    """`more`, and the trace context of the current span if there is one and `more` has none."""
    return tuple({**ambient.headers(), **(more or {})}.items())


def reply(raw: bytes, returns: type[T]) -> Result[T]:
    """The result in a DispatchResponse. DispatchFailed if it says so; ResultMismatch if it does not fit `returns`."""
    return result(_parse(dispatcher_pb2.DispatchResponse, raw), returns)


def result(response: dispatcher_pb2.DispatchResponse, returns: type[T]) -> Result[T]:
    """The same of a message that is already parsed."""
    report = report_in(response)
    if response.HasField("outcome"):
        raise _failed(response.outcome.code, response.outcome.message, response.outcome, report, None)
    if report is None:
        raise DispatchFailed(Code.INTERNAL, UNREADABLE, "the reply has no report")
    return fitted(to_value(response.result), report, returns)


def report_in(response: dispatcher_pb2.DispatchResponse) -> Report | None:
    """The report, if there is one."""
    try:
        return from_report(response.report) if response.HasField("report") else None
    except ValueError as e:
        raise DispatchFailed(Code.INTERNAL, UNREADABLE, f"report: {e}") from None


class Events:
    """The messages of one stream, in order: deltas are put together to the result so far."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: Value = None

    def read(self, raw: bytes) -> Snapshot | BranchEvent | dispatcher_pb2.DispatchResponse:
        """The next one; the last one comes as it is, because only the status says whether it is a result."""
        message: dispatcher_pb2.DispatchStreamResponse = _parse(dispatcher_pb2.DispatchStreamResponse, raw)
        match message.WhichOneof("event"):
            case "snapshot":
                return Snapshot(to_value(message.snapshot), from_coverage(message.coverage))
            case "delta":
                ops = _ops(message.delta)
                try:
                    self._value = fold(self._value, ops)
                except Unfoldable as e:
                    raise DispatchFailed(Code.INTERNAL, UNREADABLE, f"delta: {e}") from None
                return Snapshot(self._value, from_coverage(message.coverage), ops)
            case "branch":
                return BranchEvent(from_branch(message.branch), from_coverage(message.coverage))
            case "final":
                return message.final
            case other:
                raise DispatchFailed(Code.INTERNAL, UNREADABLE, f"a stream event of kind {other or 'none'}")


def _ops(delta: dispatcher_pb2.Delta) -> tuple[Op, ...]:
    try:
        return tuple([Op(op.path, OpKind(op.kind), to_value(op.value)) for op in delta.ops])
    except ValueError as e:
        raise DispatchFailed(Code.INTERNAL, UNREADABLE, f"delta: {e}") from None


def failure(error: RpcError, report: Report | None = None) -> DispatchFailed:
    """A failed call in the caller's words. `report`: the full one, if it came before the status."""
    rich = status.read(error.trailers)
    failed = _failed(error.code, error.message, rich, report, status.pushback(error.trailers))
    failed.sent = error.sent
    return failed


def _failed(code: int, message: str, rich: Status | None, report: Report | None, retry_after: int | None) -> DispatchFailed:
    info = status.find(rich, ErrorInfo) or ErrorInfo()
    summary = status.find(rich, ReportSummary) if report is None else None
    if summary is not None:
        try:
            report = from_summary(summary)
        except ValueError:  # written by a version that knows more endings; the status still holds
            summary = None
    try:
        known = Code(code)
    except ValueError:
        known = Code.UNKNOWN
    return DispatchFailed(known, info.reason, message, report, summary is not None, retry_after, dict(info.metadata))


def unfinished() -> DispatchFailed:
    """A stream that ended well and without a reply."""
    return DispatchFailed(Code.INTERNAL, UNREADABLE, "the stream ended without a reply")


def explanation(raw: bytes) -> dispatcher_pb2.ExplainResponse:
    """The answer of Explain."""
    out: dispatcher_pb2.ExplainResponse = _parse(dispatcher_pb2.ExplainResponse, raw)
    return out


def _parse(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise DispatchFailed(Code.INTERNAL, UNREADABLE, f"the bytes are not a {kind.DESCRIPTOR.full_name}") from None
