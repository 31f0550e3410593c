"""The default transport: grpc.aio, with messages as bytes.

Chosen because every language speaks to it and every tool knows it; kept behind a port because a call costs ten times what a
leaner HTTP/2 library takes. Multicallables and no interceptors: an interceptor that awaits its continuation gets a call, not an
answer, and one of them in the chain turns off cancellation for all. No retries inside grpc: they would be made without asking
budget, breaker and deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc.aio import BaseError, UsageError, insecure_channel

from fanmesh.model.fault import Code
from fanmesh.runtime.clock import now_ns
from fanmesh.transport.cancel import cancel_core
from fanmesh.transport.core import call_unary
from fanmesh.transport.failures import closed, connected, cut_off, failure, late, no_time, unusable
from fanmesh.transport.grpc_server import GrpcServer, grpc_compression, window_arguments
from fanmesh.transport.grpc_streams import GrpcDuplex, GrpcStream
from fanmesh.transport.port import ChannelOptions, Metadata, Reply, Routes, RpcError, ServerOptions
from fanmesh.transport.sendable import unsendable

_DEFAULTS: Final = ChannelOptions()
_SERVER_DEFAULTS: Final = ServerOptions()
_CHOOSABLE: Final = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE)


def channel_arguments(options: ChannelOptions) -> list[tuple[str, int | str]]:
    """The options in the words of the core."""
    return [
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", int(options.reconnect_initial * 1000)),
        ("grpc.min_reconnect_backoff_ms", int(options.connect_timeout * 1000)),  # how long one attempt to connect may take
        ("grpc.max_reconnect_backoff_ms", int(options.reconnect_max * 1000)),
        ("grpc.keepalive_time_ms", int(options.keepalive_every * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout * 1000)),
        ("grpc.max_receive_message_length", options.receive_limit),
        *window_arguments(options.window),
        ("grpc.use_local_subchannel_pool", 1),  # one connection per channel: else equal channels share one
        ("grpc.enable_http_proxy", 0),  # workers are addressed, not browsed to
        *([("grpc.lb_policy_name", "round_robin")] if options.spread else []),
    ]


class GrpcChannel:
    """One address."""

    __slots__ = ("_multi", "address", "closed", "live", "raw")

    def __init__(self, address: str, options: ChannelOptions) -> None:
        self.address = address
        self.closed = False
        self.live: set[Any] = set()
        self.raw = insecure_channel(
            address, options=channel_arguments(options), compression=grpc_compression(options.compression)
        )
        self._multi: dict[tuple[str, str], Any] = {}

    def ready(self) -> bool:
        """Whether a call made now has a chance: connected, or never yet tried."""
        return not self.closed and self.raw.get_state() in _CHOOSABLE

    def connected(self) -> bool:
        """Whether there is a connection now."""
        return not self.closed and connected(self.raw.get_state())

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109  (the limit of a probe)
        """Connect; whether it succeeded within `timeout` seconds."""
        try:
            await asyncio.wait_for(self.raw.channel_ready(), timeout)
        except (TimeoutError, BaseError):
            return False
        return True

    async def unary(
        self,
        path: str,
        request: bytes,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  (gRPC's deadline: it travels)
        metadata: Metadata = (),
    ) -> Reply:
        """One request, one answer; see the port."""
        if timeout is not None and timeout <= 0:
            raise no_time()
        started = now_ns()
        try:
            payload, code, details, trailers = await call_unary(self, path.encode(), request, timeout, metadata)
        except UsageError:
            raise closed(self.address) from None
        except BaseError as e:
            raise unusable(e, metadata) from None
        if payload is not None:
            return Reply(payload, trailers)
        if self.closed:
            raise cut_off(self.address)
        raise failure(
            code or Code.INTERNAL,  # OK without an answer
            details or "",
            trailers or (),
            address=self.address,
            connected=self.connected(),
            late=late(now_ns() - started, timeout),
        )

    def stream(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> GrpcStream:
        """One request, many answers."""
        return GrpcStream(self, self._open("unary_stream", path, (request,), timeout, metadata), timeout)

    def duplex(self, path: str, *, timeout: float | None = None, metadata: Metadata = ()) -> GrpcDuplex:
        """Many requests, many answers."""
        return GrpcDuplex(self, self._open("stream_stream", path, (), timeout, metadata), timeout)

    def _open(self, kind: str, path: str, arguments: tuple[bytes, ...], timeout: float | None, metadata: Metadata) -> Any:
        if timeout is not None and timeout <= 0:
            raise no_time()
        if wrong := unsendable(metadata):  # grpc would begin the call, and nobody would ever be told that it has not
            raise RpcError(Code.INTERNAL, f"grpc refuses the call: {wrong}", sent=False)
        multi = self._multi.get((kind, path))
        if multi is None:
            multi = self._multi[kind, path] = getattr(self.raw, kind)(path)
        try:
            return multi(*arguments, timeout=timeout, metadata=metadata)
        except BaseError:
            raise closed(self.address) from None

    async def close(self, grace: float = 0.0) -> None:
        """Let calls in flight end for up to `grace` seconds, then cancel them.

        Ours and not grpc's, which finds the calls by looking into the frames of every task, and cancels them the leaking way.
        """
        if self.live and grace > 0:
            gone = asyncio.get_running_loop().create_future()

            def check(*_: Any) -> None:
                if not gone.done() and all(call.done() for call in self.live):
                    gone.set_result(None)

            for call in self.live:
                call.add_done_callback(check)
            await asyncio.wait((gone,), timeout=grace)
            gone.cancel()
        self.closed = True
        for call in list(self.live):
            cancel_core(call)
        await self.raw.close(None)


def _no_tls(options: ChannelOptions | ServerOptions) -> None:
    """Refuse to talk in the clear where encryption was asked for: the core takes certificates as PEM, which a context hides."""
    if options.tls is not None:
        raise ValueError("tls as an SSLContext needs the fast transport")


class GrpcTransport:
    """grpc.aio as a Transport."""

    def connect(self, address: str, options: ChannelOptions = _DEFAULTS) -> GrpcChannel:
        """A channel to `address`. Connects when first used."""
        _no_tls(options)
        return GrpcChannel(address, options)

    def server(
        self, listen: str, routes: Routes, *, names: Sequence[str] = (), options: ServerOptions = _SERVER_DEFAULTS
    ) -> GrpcServer:
        """A server bound to `listen`. OSError if the address is taken."""
        _no_tls(options)
        return GrpcServer(listen, routes, names, options)
