"""gRPC's test service behind the port, so that either transport serves it: what foreign clients call.

Beyond what gRPC publishes it knows one thing: a caller that sends `x-details-bin` gets it back as the details of the failure
that it asks for, because no published case has a rich status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from fanmesh.model.fault import Code
from fanmesh.model.times import US
from fanmesh.runtime.clock import sleep
from fanmesh.transport.port import Metadata, Routes, ServerCall, StatusError
from fanmesh.transport.status import DETAILS
from tests.kit.programs import ROOT
from tests.kit.protos import stubs

PROTO: Final = ROOT / "tests" / "interop" / "protos" / "testservice.proto"
SERVICE: Final = "/grpc.testing.TestService/"
INITIAL: Final = "x-grpc-test-echo-initial"
TRAILING: Final = "x-grpc-test-echo-trailing-bin"
WANTED: Final = "x-details-bin"
"""The google.rpc.Status that a caller wants to come back."""

pb: Any = stubs(PROTO)[0]


def only(metadata: Metadata, key: str) -> tuple[tuple[str, str | bytes], ...]:
    """What is under one key."""
    return tuple(pair for pair in metadata if pair[0] == key)


class TestService:
    """The handlers. `cancelled` is set when a call was cancelled while it ran."""

    __test__ = False  # gRPC's name for it, no test of pytest's

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    def routes(self) -> Routes:
        """All methods but those that are there to be missing."""
        return Routes(
            unary={
                f"{SERVICE}EmptyCall": self.empty,
                f"{SERVICE}UnaryCall": self.unary,
                f"{SERVICE}CacheableUnaryCall": self.unary,
            },
            stream={f"{SERVICE}StreamingOutputCall": self.output},
            duplex={f"{SERVICE}StreamingInputCall": self.input, f"{SERVICE}FullDuplexCall": self.both},
        )

    async def empty(self, request: bytes, _: ServerCall) -> bytes:
        """Nothing for nothing."""
        pb.Empty.FromString(request)
        return b""

    async def unary(self, request: bytes, call: ServerCall) -> bytes:
        """As many bytes as asked for, or the status asked for."""
        asked = pb.SimpleRequest.FromString(request)
        await self._echo(call)
        self._fail(asked.response_status, call)
        answer = pb.SimpleResponse(payload=pb.Payload(body=bytes(asked.response_size)))
        if asked.fill_server_id:
            answer.server_id = "fanmesh"
        return bytes(answer.SerializeToString())

    async def output(self, request: bytes, call: ServerCall) -> AsyncIterator[bytes]:
        """One message for each size asked for."""
        await self._echo(call)
        async for answer in self._answers(pb.StreamingOutputCallRequest.FromString(request)):
            yield answer

    async def input(self, requests: AsyncIterator[bytes], call: ServerCall) -> None:
        """Client streaming, which the port has no kind of its own for: many requests, then the one answer."""
        total = 0
        try:
            async for request in requests:
                total += len(pb.StreamingInputCallRequest.FromString(request).payload.body)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        await call.write(pb.StreamingInputCallResponse(aggregated_payload_size=total).SerializeToString())

    async def both(self, requests: AsyncIterator[bytes], call: ServerCall) -> None:
        """Answers to each request as it comes."""
        await self._echo(call)
        try:
            async for request in requests:
                asked = pb.StreamingOutputCallRequest.FromString(request)
                self._fail(asked.response_status, call)
                async for answer in self._answers(asked):
                    await call.write(answer)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _answers(self, asked: Any) -> AsyncIterator[bytes]:
        for one in asked.response_parameters:
            if one.interval_us:
                await sleep(one.interval_us * US)
            yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(one.size))).SerializeToString()

    async def _echo(self, call: ServerCall) -> None:
        """Give back the metadata that asks for it."""
        if initial := only(call.metadata, INITIAL):
            await call.send_headers(initial)
        call.set_trailers(only(call.metadata, TRAILING))

    def _fail(self, status: Any, call: ServerCall) -> None:
        if status.code:
            trailers = [(DETAILS, value) for _, value in only(call.metadata, WANTED)]
            raise StatusError(Code(status.code), status.message, trailers=trailers)
