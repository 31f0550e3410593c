"""A `Reply` becomes a message, or a status with its reasons."""

from __future__ import annotations

from google.protobuf.message import Message

from dispatcher.flow.ports import Reply
from dispatcher.model.request import Refusal
from fanmesh.model.fault import Code
from fanmesh.payload import Kind, PayloadError, from_value
from fanmesh.reporting import to_report, to_summary
from fanmesh.transport import status
from fanmesh.transport.port import StatusError
from fanmesh.v1 import dispatcher_pb2

COMPLETE = "fanmesh-complete"


def response_of(reply: Reply, kind: Kind, limit: int) -> tuple[dispatcher_pb2.DispatchResponse, Refusal | None]:
    """The message, and why the call fails if it does. `limit`: most bytes of the result."""
    response = dispatcher_pb2.DispatchResponse()
    refusal = reply.refusal
    if refusal is None:
        try:
            payload = from_value(reply.value, kind)
        except PayloadError as error:
            text = f"reply_kind: the result cannot be written as {kind.name}: {error}; ask for JSON"
            refusal = Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", text, (("field", "reply_kind"),))
        else:
            if (size := payload.ByteSize()) > limit:
                text = f"the result of {size} bytes is over the limit of {limit}"
                refusal = Refusal(Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", text)
            else:
                response.result.CopyFrom(payload)
    if reply.report is not None:
        response.report.CopyFrom(to_report(reply.report))
    if refusal is not None:
        response.report.complete = False
    return response, refusal


def error_of(refusal: Refusal, reply: Reply | None = None) -> StatusError:
    """The status of a call that fails: ErrorInfo, and a summary of the report that fits into trailers."""
    details: list[Message] = [status.error_info(refusal.reason, dict(refusal.metadata))]
    if reply is not None and reply.report is not None:
        details.append(to_summary(reply.report))
    trailers = [(COMPLETE, "false")]
    if refusal.pushback is not None:
        trailers.append((status.PUSHBACK, str(refusal.pushback)))
    return StatusError(refusal.code, refusal.message, trailers=trailers, details=details)


def outcome_in(response: dispatcher_pb2.DispatchResponse, refusal: Refusal) -> None:
    """Write the status that the call would have had into the message."""
    info = status.error_info(refusal.reason, dict(refusal.metadata))
    response.outcome.CopyFrom(status.status(refusal.code, refusal.message, [info]))
