"""Calling a dispatcher as any program would, and hearing everything that comes back: message, status, details, trailers.

Below the client library on purpose: what is proved here is the protocol, which callers in other languages see without ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from fanmesh.model.fault import Code
from fanmesh.transport import status
from fanmesh.transport.port import Channel, Metadata, RpcError, Stream
from fanmesh.v1 import dispatcher_pb2, payload_pb2, report_pb2

DISPATCH: Final = "/fanmesh.v1.DispatcherService/Dispatch"
STREAM: Final = "/fanmesh.v1.DispatcherService/DispatchStream"
EXPLAIN: Final = "/fanmesh.v1.DispatcherService/Explain"

PATIENCE: Final = 15.0
"""Seconds after which a call that has not ended fails its test. Not a gRPC deadline: that would be part of what is tested."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How a call ended. `events` are those of a stream; `response` is the only message, or the stream's `final`."""

    code: Code
    message: str
    trailers: Metadata
    response: dispatcher_pb2.DispatchResponse = field(default_factory=dispatcher_pb2.DispatchResponse)
    events: tuple[dispatcher_pb2.DispatchStreamResponse, ...] = ()

    def trailer(self, key: str) -> str | None:
        """The first text trailer of this name."""
        return next((value for name, value in self.trailers if name == key and isinstance(value, str)), None)

    @property
    def rich(self) -> Status | None:
        """The status in the details."""
        return status.read(self.trailers)

    @property
    def info(self) -> ErrorInfo:
        """Why; empty if the status does not say."""
        return status.find(self.rich, ErrorInfo) or ErrorInfo()

    @property
    def summary(self) -> report_pb2.ReportSummary | None:
        """What is told of the report beside a status."""
        return status.find(self.rich, report_pb2.ReportSummary)

    def outcome(self) -> Heard:
        """The failure that the message tells of, as if it had been the status of the call."""
        told = self.response.outcome
        return Heard(Code(told.code), told.message, ((status.DETAILS, told.SerializeToString()),))

    @property
    def report(self) -> report_pb2.Report:
        """The full report; AssertionError if there is none."""
        assert self.response.HasField("report"), f"no report: {self.code.name} {self.message}"
        return self.response.report

    def row(self, branch: str) -> report_pb2.BranchReport:
        """A branch's row in the full report."""
        (found,) = (row for row in self.report.branches if row.branch == branch)
        return found


def ask(plan: str = "p", *, json: str = "{}", data: Struct | None = None, **fields: Any) -> dispatcher_pb2.DispatchRequest:
    """A request; its input is `{}` in JSON if none is given."""
    body = payload_pb2.Payload(json=json) if data is None else payload_pb2.Payload(data=data)
    return dispatcher_pb2.DispatchRequest(**{"plan": plan, "input": body} | fields)


def struct(**fields: float | str | bool) -> Struct:
    """A Struct, also one with numbers that no Struct should hold."""
    out = Struct()
    for key, value in fields.items():
        match value:
            case str():
                out.fields[key].string_value = value
            case bool():
                out.fields[key].bool_value = value
            case _:
                out.fields[key].number_value = value
    return out


class Caller:
    """A connection to one dispatcher."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def dispatch(
        self, request: dispatcher_pb2.DispatchRequest | bytes, *, within: float | None = None, metadata: Metadata = ()
    ) -> Heard:
        """One call of Dispatch; `within` is its gRPC deadline in seconds."""
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await self.channel.unary(DISPATCH, raw, timeout=within, metadata=metadata)
        except RpcError as error:
            return Heard(error.code, error.message, error.trailers)
        return Heard(Code.OK, "", reply.trailers, dispatcher_pb2.DispatchResponse.FromString(reply.payload))

    async def stream(
        self,
        request: dispatcher_pb2.DispatchStreamRequest | dispatcher_pb2.DispatchRequest | bytes,
        *,
        emit: int = 0,
        within: float | None = None,
        metadata: Metadata = (),
    ) -> Heard:
        """One call of DispatchStream, heard to its end."""
        if isinstance(request, dispatcher_pb2.DispatchRequest):
            request = dispatcher_pb2.DispatchStreamRequest(request=request, emit=emit)  # type: ignore[arg-type]  # a number
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        events: list[dispatcher_pb2.DispatchStreamResponse] = []
        code, message = Code.OK, ""
        async with asyncio.timeout(PATIENCE), aclosing(self.open(raw, within=within, metadata=metadata)) as parts:
            try:
                async for part in parts:
                    events.append(dispatcher_pb2.DispatchStreamResponse.FromString(part))  # noqa: PERF401  (kept if it breaks)
            except RpcError as error:
                code, message = error.code, error.message
            trailers = tuple(parts.trailers)
        last = events[-1].final if events and events[-1].HasField("final") else dispatcher_pb2.DispatchResponse()
        return Heard(code, message, trailers, last, tuple(events))

    def open(self, raw: bytes, *, within: float | None = None, metadata: Metadata = ()) -> Stream:
        """One call of DispatchStream, to be read by hand."""
        return self.channel.stream(STREAM, raw, timeout=within, metadata=metadata)

    async def explain(self, request: dispatcher_pb2.DispatchRequest | bytes) -> dispatcher_pb2.ExplainResponse | Heard:
        """One call of Explain."""
        raw = request
        if not isinstance(raw, bytes):
            raw = dispatcher_pb2.ExplainRequest(request=raw).SerializeToString()
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await self.channel.unary(EXPLAIN, raw)
        except RpcError as error:
            return Heard(error.code, error.message, error.trailers)
        return dispatcher_pb2.ExplainResponse.FromString(reply.payload)


def size_of(trailers: Sequence[tuple[str, str | bytes]]) -> int:
    """Bytes of trailers as they count against a peer's limit: binary ones travel as base64, each has 32 bytes of overhead."""
    return sum(len(key) + 32 + (len(value) if isinstance(value, str) else (len(value) + 2) // 3 * 4) for key, value in trailers)
