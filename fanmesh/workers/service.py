"""WorkerService in bytes: one service for one worker or several, as handlers of the transport port."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from google.protobuf.message import DecodeError

from fanmesh.model.fault import Code, Fault
from fanmesh.model.states import PartMode
from fanmesh.model.usage import Usage
from fanmesh.model.values import Opaque
from fanmesh.payload import PayloadError, encode, from_value, to_value
from fanmesh.runtime.clock import sleep as real_sleep
from fanmesh.transport import status
from fanmesh.transport.port import Routes, ServerCall, StatusError
from fanmesh.v1 import worker_pb2
from fanmesh.v1.payload_pb2 import Payload
from fanmesh.workers.acting import RUBBISH, Behaviour, Rubbish, Sleep, perform
from fanmesh.workers.calling import answer, not_json, parts
from fanmesh.workers.context import Context
from fanmesh.workers.declaring import Replace, Worker

SERVICE: Final = "fanmesh.v1.WorkerService"
WORKER_KEY: Final = "fanmesh-worker"

Observe: TypeAlias = Callable[[str, Context], AbstractContextManager[object]]
"""Around each call: `with observe("fanmesh.v1.WorkerService/Process", ctx): …`. Faults and cancellations pass through it."""

_Request: TypeAlias = worker_pb2.ProcessRequest | worker_pb2.ProcessStreamRequest


def _unobserved(_method: str, _ctx: Context) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a server may put around its workers."""

    behaviour: Behaviour | None = None
    observe: Observe = _unobserved
    sleep: Sleep = real_sleep


class WorkerService:
    """The two methods for a set of workers. With several, the metadata key `fanmesh-worker` says which."""

    def __init__(self, workers: Sequence[Worker[Any]], hooks: Hooks) -> None:
        self._workers = {worker.name: worker for worker in workers}
        if not workers or len(self._workers) < len(workers):
            raise ValueError(f"workers need names of their own: {', '.join(worker.name for worker in workers) or 'none given'}")
        self._only = workers[0] if len(workers) == 1 else None
        self._hooks = hooks

    def routes(self) -> Routes:
        """What a server answers with this service."""
        return Routes(unary={f"/{SERVICE}/Process": self.process}, stream={f"/{SERVICE}/ProcessStream": self.process_stream})

    async def process(self, raw: bytes, call: ServerCall) -> bytes:
        """Answer once; a worker that answers in parts is heard to its end."""
        try:
            worker = self._which(call)
            request = _parsed(worker_pb2.ProcessRequest, raw)
            ctx = _context(request, call)
            with self._hooks.observe(f"{SERVICE}/Process", ctx):
                if await self._act(worker) is not None:
                    raise Fault.unavailable("asked to break")
                out = _payload(await answer(worker, _input(request), ctx))
        except Fault as fault:
            raise _status(fault) from None
        except Rubbish:
            return RUBBISH
        response = worker_pb2.ProcessResponse(output=out, labels=ctx.labels)
        _tell(response, ctx)
        return response.SerializeToString()

    async def process_stream(self, raw: bytes, call: ServerCall) -> AsyncGenerator[bytes]:
        """Answer in parts."""
        try:
            worker = self._which(call)
            request = _parsed(worker_pb2.ProcessStreamRequest, raw)
            ctx = _context(request, call)
            with self._hooks.observe(f"{SERVICE}/ProcessStream", ctx):
                breaks_after = await self._act(worker)
                sent = 0
                async with aclosing(self._messages(worker, request, ctx)) as messages:
                    async for message in messages:
                        if sent == breaks_after:
                            break
                        yield message
                        sent += 1
                if breaks_after is not None:
                    raise Fault.unavailable(f"asked to break after {breaks_after} parts")
        except Fault as fault:
            raise _status(fault) from None
        except Rubbish:
            yield RUBBISH

    async def _messages(self, worker: Worker[Any], request: _Request, ctx: Context) -> AsyncGenerator[bytes]:
        told = _said(ctx)
        async with aclosing(parts(worker, _input(request), ctx)) as stream:
            async for part in stream:
                told = _said(ctx)
                yield _part(part, ctx)
        if told != _said(ctx):
            yield _part(None, ctx)  # reported after the last part: appending null changes nothing else

    def _which(self, call: ServerCall) -> Worker[Any]:
        if self._only is not None:
            return self._only
        name = call.header(WORKER_KEY)
        try:
            return self._workers[name]
        except KeyError:
            known = ", ".join(self._workers)
            raise Fault.invalid_argument(f"{WORKER_KEY}: {name!r} is none of {known}") from None

    async def _act(self, worker: Worker[Any]) -> int | None:
        behaviour = self._hooks.behaviour
        return None if behaviour is None else await perform(behaviour(worker.name), self._hooks.sleep)


def _parsed(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise Fault.invalid_argument(f"the bytes are not a {kind.DESCRIPTOR.full_name}") from None


def _input(request: _Request) -> Any:
    try:
        return to_value(request.input)
    except PayloadError as e:
        raise Fault.invalid_argument(str(e.inside("input"))) from None


def _context(request: _Request, call: ServerCall) -> Context:
    return Context(
        request_id=request.request_id,
        plan=request.plan,
        branch=request.branch,
        item_key=request.item_key,
        attempt=request.attempt,
        shadow=request.shadow,
        idempotency_key=request.idempotency_key,
        allowance=_usage(request.allowance) if request.HasField("allowance") else None,
        attributes=dict(request.attributes),
        metadata={key: value for key, value in call.metadata if isinstance(value, str)},
        time_left=call.time_remaining,
    )


def _usage(usage: Any) -> Usage:
    return Usage(usage.input_tokens, usage.output_tokens, usage.cost_usd_micros)


def _payload(out: Any) -> Payload:
    try:
        return from_value(out) if isinstance(out, Opaque) else Payload(json=encode(out).decode())
    except PayloadError as e:
        raise not_json(e) from None


def _part(part: Any, ctx: Context) -> bytes:
    replace = isinstance(part, Replace)
    message = worker_pb2.ProcessStreamResponse(part=_payload(part.value if replace else part), labels=ctx.labels)
    message.mode = int(PartMode.REPLACE if replace else PartMode.APPEND)  # type: ignore[assignment]  # a number at run time
    _tell(message, ctx)
    return message.SerializeToString()


def _said(ctx: Context) -> object:
    return ctx.confidence, ctx.usage, dict(ctx.labels)


def _tell(message: worker_pb2.ProcessResponse | worker_pb2.ProcessStreamResponse, ctx: Context) -> None:
    if ctx.confidence is not None:
        message.confidence = ctx.confidence
    if ctx.usage:
        message.usage.input_tokens = ctx.usage.input_tokens
        message.usage.output_tokens = ctx.usage.output_tokens
        message.usage.cost_usd_micros = ctx.usage.cost_usd_micros


def _status(fault: Fault) -> StatusError:
    trailers = () if fault.retry_after is None else ((status.PUSHBACK, str(fault.retry_after)),)
    code = Code.INTERNAL if fault.code is Code.OK else fault.code
    return StatusError(code, fault.detail, trailers=trailers)
