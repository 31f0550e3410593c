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
from grpc.aio import EOF, BaseError, insecure_channel

from fanmesh.runtime.clock import now_ns
from fanmesh.transport.cancel import cancel_core, give_up
from fanmesh.transport.failures import closed, connected, failure, late, no_time, trailers_of, unusable
from fanmesh.transport.grpc_server import GrpcServer
from fanmesh.transport.grpc_streams import GrpcDuplex, GrpcStream
from fanmesh.transport.port import ChannelOptions, Metadata, Reply, Routes, ServerOptions

_DEFAULTS: Final = ChannelOptions()
_SERVER_DEFAULTS: Final = ServerOptions()
_CHOOSABLE: Final = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE)


def channel_arguments(options: ChannelOptions) -> list[tuple[str, int]]:
    """The options in the words of the core."""
    return [
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", int(options.reconnect_initial * 1000)),
        ("grpc.min_reconnect_backoff_ms", int(options.reconnect_initial * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(options.reconnect_max * 1000)),
        ("grpc.keepalive_time_ms", int(options.keepalive_every * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout * 1000)),
        ("grpc.max_receive_message_length", options.receive_limit),
        ("grpc.use_local_subchannel_pool", 1),  # one connection per channel: else equal channels share one
        ("grpc.enable_http_proxy", 0),  # workers are addressed, not browsed to
    ]


class GrpcChannel:
    """One address."""

    __slots__ = ("_channel", "_multi", "address", "closed", "live")

    def __init__(self, address: str, options: ChannelOptions) -> None:
        self.address = address
        self.closed = False
        self.live: set[Any] = set()
        self._channel = insecure_channel(address, options=channel_arguments(options))
        self._multi: dict[str | tuple[str, str], Any] = {}

    def ready(self) -> bool:
        """Whether a call made now has a chance: connected, or never yet tried."""
        return not self.closed and self._channel.get_state() in _CHOOSABLE

    def connected(self) -> bool:
        """Whether there is a connection now."""
        return not self.closed and connected(self._channel.get_state())

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109  (the limit of a probe)
        """Connect; whether it succeeded within `timeout` seconds."""
        try:
            await asyncio.wait_for(self._channel.channel_ready(), timeout)
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
        """One request, one answer; see the port. Awaits the call as `cancel` says, and owns it to its end."""
        if timeout is not None and timeout <= 0:
            raise no_time()
        multi = self._multi.get(path)
        if multi is None:
            multi = self._multi[path] = self._channel.unary_unary(path)
        started = now_ns()
        try:
            call = multi(request, timeout=timeout, metadata=metadata)
        except BaseError:
            raise closed(self.address) from None
        inner = call._call_response  # noqa: SLF001  (see `cancel`)
        self.live.add(call)
        try:
            response = await asyncio.shield(inner)
        except BaseError as e:
            raise unusable(e) from None
        finally:
            self.live.discard(call)
            if not inner.done():
                await give_up(call, (inner,))
        status = call._cython_call._status  # noqa: SLF001  (the public way is a coroutine and a copy)
        if response is EOF:
            if self.closed:
                raise closed(self.address)
            raise failure(
                status.code(),
                status.details() or "",
                trailers_of(status),
                address=self.address,
                connected=self.connected(),
                late=late(now_ns() - started, timeout),
            )
        return Reply(response, status.trailing_metadata())

    def stream(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> GrpcStream:
        """One request, many answers."""
        return GrpcStream(self, self._open("unary_stream", path, (request,), timeout, metadata), timeout)

    def duplex(self, path: str, *, timeout: float | None = None, metadata: Metadata = ()) -> GrpcDuplex:
        """Many requests, many answers."""
        return GrpcDuplex(self, self._open("stream_stream", path, (), timeout, metadata), timeout)

    def _open(self, kind: str, path: str, arguments: tuple[bytes, ...], timeout: float | None, metadata: Metadata) -> Any:
        if timeout is not None and timeout <= 0:
            raise no_time()
        multi = self._multi.get((kind, path))
        if multi is None:
            multi = self._multi[kind, path] = getattr(self._channel, kind)(path)
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

            def check(_: Any) -> None:
                if not gone.done() and all(call.done() for call in self.live):
                    gone.set_result(None)

            for call in self.live:
                call.add_done_callback(check)
            await asyncio.wait((gone,), timeout=grace)
            gone.cancel()
        self.closed = True
        for call in list(self.live):
            cancel_core(call)
        await self._channel.close(None)


class GrpcTransport:
    """grpc.aio as a Transport."""

    def connect(self, address: str, options: ChannelOptions = _DEFAULTS) -> GrpcChannel:
        """A channel to `address`. Connects when first used."""
        return GrpcChannel(address, options)

    def server(
        self, listen: str, routes: Routes, *, names: Sequence[str] = (), options: ServerOptions = _SERVER_DEFAULTS
    ) -> GrpcServer:
        """A server bound to `listen`. OSError if the address is taken."""
        return GrpcServer(listen, routes, names, options)
