"""A `Reply` becomes a message, or a status with its reasons."""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.message import Message

from dispatcher.flow.ports import Reply
from dispatcher.model.request import Refusal
from fanmesh.model.fault import Code
from fanmesh.model.report import Report
from fanmesh.model.values import Value
from fanmesh.payload import Kind, PayloadError, from_value
from fanmesh.reporting import to_summary, write_report
from fanmesh.transport import status
from fanmesh.transport.port import StatusError
from fanmesh.v1 import dispatcher_pb2
from fanmesh.v1.payload_pb2 import Payload

COMPLETE = "fanmesh-complete"
REPLAYED: Final = "fanmesh-replayed"
"""Trailers. The second, `true`: the answer was made for an earlier call. Not sent to those who joined a run."""

ENVELOPE: Final = 128
"""Bytes for sequence number and coverage around a stream's messages: at most 13 counts of 5 bytes, a double, and lengths."""

MESSAGE_LIMIT: Final = 512
VALUE_LIMIT: Final = 256
"""Bytes of a status message, and of a value in ErrorInfo: callers choose some of both. A message is sent twice, and all
trailers together, with a summary of 4 KB (5.5 in base64), must stay below the 8 KB at which peers drop a status."""


class Finished(NamedTuple):
    """How a request ended, as it will be told. `refusal` None = OK.

    `report`: for the summary beside a status. `keep`: whoever asks again with the same idempotency key is told the same.
    """

    response: dispatcher_pb2.DispatchResponse
    refusal: Refusal | None = None
    report: Report | None = None
    keep: bool = False
    replayed: bool = False


def finish(reply: Reply, kind: Kind, limit: int) -> Finished:
    """A reply as it will be told.

    Kept are replies that the plan accepted (also one that cannot be sent: it would be too large again), and ABORTED ones: a
    write was sent, and must not be sent once more. Any other failure may end otherwise next time.
    """
    response, refusal = response_of(reply, kind, limit)
    keep = reply.refusal is None or reply.wrote
    return Finished(response, refusal, None if refusal is None else reply.report, keep)


def refused(refusal: Refusal) -> Finished:
    """A request that did not run."""
    return Finished(dispatcher_pb2.DispatchResponse(), refusal)


def response_of(reply: Reply, kind: Kind, limit: int) -> tuple[dispatcher_pb2.DispatchResponse, Refusal | None]:
    """The message, and why the call fails if it does.

    `limit`: most bytes of result and report together, because a caller's own limit, 4 MiB by default, is one of the message.
    """
    response = dispatcher_pb2.DispatchResponse()
    refusal = reply.refusal
    if refusal is None:
        match written(reply.value, kind):
            case Refusal() as refusal:
                pass
            case payload:
                response.result.CopyFrom(payload)
    if reply.report is not None:
        write_report(reply.report, response.report)
    if refusal is None and (refusal := over(response, limit)) is not None:
        response.ClearField("result")
    if refusal is not None and reply.report is not None:
        response.report.complete = False
    return response, refusal


def over(message: Message, limit: int) -> Refusal | None:
    """Why a message with a result cannot be sent, if it is over `limit` bytes with what a stream puts around it."""
    size = message.ByteSize() + ENVELOPE
    if size <= limit:
        return None
    return Refusal(Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", f"the reply of {size} bytes is over the limit of {limit}")


def written(value: Value, kind: Kind) -> Payload | Refusal:
    """A result as `kind`, or why it cannot be."""
    try:
        return from_value(value, kind)
    except PayloadError as error:
        if kind is Kind.JSON or not isinstance(value, dict):  # it was to be written as JSON, and nothing else can be asked for
            return Refusal(Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", f"the result cannot be written: {error}")
        text = f"reply_kind: the result cannot be written as {kind.name}: {error}; ask for JSON"
        return Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", text, (("field", "reply_kind"),))


def error_of(finished: Finished) -> StatusError:
    """The status of a call that fails: ErrorInfo, and a summary of the report that fits into trailers."""
    refusal = finished.refusal
    if refusal is None:
        raise AssertionError("the call has not failed")
    info = {key: within(value, VALUE_LIMIT) for key, value in refusal.metadata}
    details: list[Message] = [status.error_info(refusal.reason, info)]
    if finished.report is not None:
        details.append(to_summary(finished.report))
    trailers = trailers_of(finished)
    if refusal.pushback is not None:
        trailers.append((status.PUSHBACK, str(refusal.pushback)))
    return StatusError(refusal.code, within(refusal.message, MESSAGE_LIMIT), trailers=trailers, details=details)


def trailers_of(finished: Finished) -> list[tuple[str, str | bytes]]:
    """Trailing metadata of every answer, good or bad."""
    complete = finished.refusal is None and finished.response.report.complete
    trailers: list[tuple[str, str | bytes]] = [(COMPLETE, "true" if complete else "false")]
    if finished.replayed:
        trailers.append((REPLAYED, "true"))
    return trailers


def within(text: str, limit: int) -> str:
    """`text`, cut to `limit` bytes as they count in a header: what is not ASCII travels percent-encoded, a byte as three."""
    if len(text) * 12 <= limit:
        return text
    size = 0
    for index, char in enumerate(text):
        size += 1 if char.isascii() else 3 * len(char.encode(errors="replace"))
        if size > limit:
            return f"{text[:index]}…"
    return text


def in_message(finished: Finished) -> dispatcher_pb2.DispatchResponse:
    """The response; on failure with the status that the call would have had, which is the same for all who share it."""
    response, refusal = finished.response, finished.refusal
    if refusal is not None and not response.HasField("outcome"):
        info = status.error_info(refusal.reason, dict(refusal.metadata))
        response.outcome.CopyFrom(status.status(refusal.code, refusal.message, [info]))
    return response
