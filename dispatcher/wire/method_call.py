"""Layer 7, the leaf for foreign methods: any unary or server-streaming gRPC method, called as its own clients call it.

Beside GrpcEndpoint and not a case of it: there the message is ours and knows of attempts, confidence and usage, here only the
metadata speaks of them, to whoever listens. Everything above (retries, hedges, breakers, limits) cannot tell the two apart.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from dispatcher.flow.ports import Clock
from dispatcher.layers.types import Attempt, Gate, Sink
from dispatcher.model.limits import Limits
from dispatcher.wire.contracts import Contract
from dispatcher.wire.faults import fault_of, invalid, too_large
from dispatcher.wire.worker_call import metadata_of
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.times import seconds
from fanmesh.model.values import Malformed
from fanmesh.payload import PayloadError
from fanmesh.transport.port import Channel, RpcError
from fanmesh.transport.status import details_of


class Known(Protocol):
    """What is known of a method by now."""

    @property
    def contract(self) -> Contract | None:
        """What it takes and returns; None = nothing is known yet, and `why` says why."""
        ...

    @property
    def why(self) -> str:
        """Why nothing is known."""
        ...

    def wanted(self) -> None:
        """Somebody has called it although nothing is known: find out soon."""
        ...


class MethodEndpoint:
    """One address of a service with a foreign method. `spare`: a second connection to it, for hedges only."""

    __slots__ = ("_channel", "_clock", "_known", "_limits", "address", "ready", "spare")

    def __init__(self, channel: Channel, clock: Clock, limits: Limits, known: Known, *, spare: bool = False) -> None:
        self._channel = channel
        self._clock = clock
        self._limits = limits
        self._known = known
        self.address = channel.address
        self.ready = channel.ready
        self.spare = spare

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Make the call. Cancelling it cancels the service. An input that is no request is a fault, and nothing is sent."""
        contract = self._known.contract
        if contract is None:
            self._known.wanted()
            return unsent(Code.UNAVAILABLE, self._known.why)
        if contract.streams is not attempt.run.node.worker.streams:
            kind = "in parts: `stream: true` is missing" if contract.streams else "once: `stream: true` is wrong"
            return unsent(Code.FAILED_PRECONDITION, f"{contract.path[1:]} answers {kind}")
        try:
            request = contract.request(attempt.run.input.value)
        except PayloadError as error:
            joint = "." if error.path and not error.path.startswith("[") else ""
            return unsent(Code.INVALID_ARGUMENT, f"input{joint}{error}" if error.path else f"input: {error}")
        except Malformed as error:
            return unsent(Code.INVALID_ARGUMENT, f"input: {error}")
        timeout = seconds(attempt.deadline - self._clock.now())
        if contract.streams:
            return await self._stream(contract, request, attempt, sink, timeout)
        try:
            reply = await self._channel.unary(contract.path, request, timeout=timeout, metadata=metadata_of(attempt))
        except RpcError as error:
            return self._fault(error, attempt, 0)
        if len(reply.payload) > self._limits.branch:
            return too_large("an answer", len(reply.payload), self._limits.branch)
        try:
            return Success(contract.response(reply.payload))
        except PayloadError as error:
            return invalid(f"output: {error}")

    async def _stream(self, contract: Contract, request: bytes, attempt: Attempt, sink: Sink, left: float) -> Outcome:
        """Each answer is a part, a list of one, so that the branch's value is the list of them. No answer is the empty list."""
        try:
            stream = self._channel.stream(contract.path, request, timeout=left, metadata=metadata_of(attempt))
        except RpcError as error:
            return self._fault(error, attempt, 0)
        total = count = 0
        try:
            async for raw in stream:
                total += len(raw)
                if len(raw) > self._limits.part:
                    return too_large("a part", len(raw), self._limits.part)
                if total > self._limits.branch:
                    return too_large("an answer", total, self._limits.branch)
                try:
                    value = contract.response(raw)
                except PayloadError as error:
                    return invalid(f"part {count}: {error}")
                match sink.part(Part([value], replace=False, seq=count, size=len(raw)), attempt):
                    case Gate.STOP:
                        return Fault(FaultKind.CANCELLED, Code.CANCELLED, "nobody waits for it", origin=Origin.LOCAL)
                    case Fault() as unfit:
                        return unfit
                    case asyncio.Future() as room:
                        await room
                count += 1
        except RpcError as error:
            return self._fault(error, attempt, count)
        finally:
            await stream.aclose()
        return Success(None, streamed=True) if count else Success([])

    def _fault(self, error: RpcError, attempt: Attempt, parts: int) -> Fault:
        """As of a worker of ours, with what the service's rich status says beside its message."""
        fault = fault_of(error, self._clock.now(), attempt.deadline, parts)
        if fault.origin is Origin.WORKER and (told := details_of(error.trailers)):
            fault.detail = f"{fault.detail} ({told})" if fault.detail else told
        return fault


def unsent(code: Code, why: str) -> Fault:
    """A fault before anything was sent."""
    return Fault(FaultKind.WORKER_ERROR, code, why, origin=Origin.LOCAL, sent=False, retryable=code is Code.UNAVAILABLE)
