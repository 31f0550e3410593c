"""Calling a dispatcher from Python: `AsyncClient`, and `Client`, which blocks.

Two classes and not one generated from the other: what differs is the calling, what is the same lives in `client_codec`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from typing import Any, Self

from typing_extensions import TypeVar

from fanmesh import client_codec as codec
from fanmesh.model.states import EmitMode
from fanmesh.model.times import number
from fanmesh.result import Accept, BranchEvent, Budget, DispatchFailed, Final, Result, Snapshot, Update
from fanmesh.transport.choosing import Transports
from fanmesh.transport.port import Channel, ChannelOptions, RpcError, Transport
from fanmesh.transport.sync import SyncChannel
from fanmesh.v1.dispatcher_pb2 import DispatchResponse, ExplainResponse

__all__ = ["Accept", "AsyncClient", "BranchEvent", "Budget", "Client", "DispatchFailed", "Final", "Result", "Snapshot"]

T = TypeVar("T", default=Any)


class AsyncClient:
    """A connection to one dispatcher, `host:port` or any gRPC target. Connects when first used; belongs to one event loop.

    `transport`: one, or its name (grpcio or fast).

    All methods take `timeout` in seconds (None = the plan's own limit), `attributes` for the plan's expressions, `metadata` for
    further gRPC headers, and send the trace context of the current OpenTelemetry span. They raise DispatchFailed.
    """

    def __init__(self, target: str, *, transport: Transport | str = "", options: ChannelOptions | None = None) -> None:
        self._target = target
        self._transport = Transports(transport).default
        self._options = options or ChannelOptions()
        self._opened: Channel | None = None

    @property
    def _channel(self) -> Channel:
        if self._opened is None:
            self._opened = self._transport.connect(self._target, self._options)
        return self._opened

    async def dispatch(
        self,
        plan: str,
        data: object = None,
        *,
        returns: type[T] = Any,  # type: ignore[assignment]  # no type asked for, none given
        timeout: float | None = None,  # noqa: ASYNC109  (gRPC's deadline: it travels)
        attributes: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        budget: Budget | None = None,
        accept: Accept | None = None,
        full_report: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Result[T]:
        """One request, one merged answer, as a `returns`. An empty plan lets the routes choose.

        `full_report`: a failure carries the whole report instead of its summary. PayloadError if the input is not JSON, or the
        result does not fit `returns`.
        """
        message = codec.request(
            plan,
            data,
            attributes=attributes,
            idempotency_key=idempotency_key,
            budget=budget,
            accept=accept,
            full_report=full_report,
        )
        try:
            reply = await self._channel.unary(
                codec.DISPATCH,
                message.SerializeToString(),
                timeout=number("timeout", timeout),
                metadata=codec.metadata(metadata),
            )
        except RpcError as e:
            raise codec.failure(e) from None
        return codec.reply(reply.payload, returns)

    async def stream(
        self,
        plan: str,
        data: object = None,
        *,
        emit: EmitMode = EmitMode.SNAPSHOT,
        min_interval: float = 0.0,
        returns: type[T] = Any,  # type: ignore[assignment]  # no type asked for, none given
        timeout: float | None = None,  # noqa: ASYNC109  (gRPC's deadline: it travels)
        attributes: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        accept: Accept | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Update[T]]:
        """One request, events while it runs; the last one is Final. `min_interval`: seconds between snapshots.

        With EmitMode.DELTA only what changed is sent, and put together here: the events are snapshots as well, with `ops`.
        Leave it early only through `contextlib.aclosing`: that cancels the request at the dispatcher.
        """
        inner = codec.request(plan, data, attributes=attributes, budget=budget, accept=accept)
        message = codec.stream_request(inner, emit, min_interval)
        received = codec.Events()
        last: DispatchResponse | None = None
        try:
            events = self._channel.stream(
                codec.DISPATCH_STREAM,
                message.SerializeToString(),
                timeout=number("timeout", timeout),
                metadata=codec.metadata(metadata),
            )
            try:
                async for raw in events:
                    match received.read(raw):
                        case DispatchResponse() as last:
                            pass
                        case event:
                            yield event
            finally:
                await events.aclose()
        except RpcError as e:
            raise codec.failure(e, codec.report_in(last) if last is not None else None) from None
        if last is None:
            raise codec.unfinished()
        yield Final(codec.result(last, returns))

    async def explain(
        self,
        plan: str,
        data: object = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  (gRPC's deadline: it travels)
        attributes: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        accept: Accept | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ExplainResponse:
        """What would run. Calls no worker."""
        message = codec.explain_request(codec.request(plan, data, attributes=attributes, budget=budget, accept=accept))
        try:
            reply = await self._channel.unary(
                codec.EXPLAIN,
                message.SerializeToString(),
                timeout=number("timeout", timeout),
                metadata=codec.metadata(metadata),
            )
        except RpcError as e:
            raise codec.failure(e) from None
        return codec.explanation(reply.payload)

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109  (the limit of a probe)
        """Connect; whether it succeeded within `timeout` seconds."""
        return await self._channel.wait_ready(timeout)

    async def close(self, grace: float = 0.0) -> None:
        """Let calls in flight end for up to `grace` seconds, then cancel them."""
        if self._opened is not None:
            await self._opened.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Client:
    """The blocking twin of AsyncClient; the same parameters and errors. Safe to share between threads."""

    def __init__(self, target: str, *, options: ChannelOptions | None = None) -> None:
        self._channel = SyncChannel(target, options or ChannelOptions())

    def dispatch(
        self,
        plan: str,
        data: object = None,
        *,
        returns: type[T] = Any,  # type: ignore[assignment]  # no type asked for, none given
        timeout: float | None = None,
        attributes: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        budget: Budget | None = None,
        accept: Accept | None = None,
        full_report: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Result[T]:
        """See AsyncClient.dispatch."""
        message = codec.request(
            plan,
            data,
            attributes=attributes,
            idempotency_key=idempotency_key,
            budget=budget,
            accept=accept,
            full_report=full_report,
        )
        try:
            reply = self._channel.unary(
                codec.DISPATCH,
                message.SerializeToString(),
                timeout=number("timeout", timeout),
                metadata=codec.metadata(metadata),
            )
        except RpcError as e:
            raise codec.failure(e) from None
        return codec.reply(reply.payload, returns)

    def stream(
        self,
        plan: str,
        data: object = None,
        *,
        emit: EmitMode = EmitMode.SNAPSHOT,
        min_interval: float = 0.0,
        returns: type[T] = Any,  # type: ignore[assignment]  # no type asked for, none given
        timeout: float | None = None,
        attributes: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        accept: Accept | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[Update[T]]:
        """See AsyncClient.stream. Closing the iterator cancels the request."""
        inner = codec.request(plan, data, attributes=attributes, budget=budget, accept=accept)
        message = codec.stream_request(inner, emit, min_interval)
        received = codec.Events()
        last: DispatchResponse | None = None
        try:
            events = self._channel.stream(
                codec.DISPATCH_STREAM,
                message.SerializeToString(),
                timeout=number("timeout", timeout),
                metadata=codec.metadata(metadata),
            )
            with closing(events):  # at once, and not when somebody collects it
                for raw in events:
                    match received.read(raw):
                        case DispatchResponse() as last:
                            pass
                        case event:
                            yield event
        except RpcError as e:
            raise codec.failure(e, codec.report_in(last) if last is not None else None) from None
        if last is None:
            raise codec.unfinished()
        yield Final(codec.result(last, returns))

    def explain(
        self,
        plan: str,
        data: object = None,
        *,
        timeout: float | None = None,
        attributes: Mapping[str, str] | None = None,
        budget: Budget | None = None,
        accept: Accept | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ExplainResponse:
        """See AsyncClient.explain."""
        message = codec.explain_request(codec.request(plan, data, attributes=attributes, budget=budget, accept=accept))
        try:
            reply = self._channel.unary(
                codec.EXPLAIN,
                message.SerializeToString(),
                timeout=number("timeout", timeout),
                metadata=codec.metadata(metadata),
            )
        except RpcError as e:
            raise codec.failure(e) from None
        return codec.explanation(reply.payload)

    def close(self) -> None:
        """Cancel what runs, and disconnect."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
