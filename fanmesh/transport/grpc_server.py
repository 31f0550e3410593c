"""Serving with grpc.aio behind the port: handlers in bytes, with health and reflection on every server.

A handler that fails by mistake must neither hang its caller nor tell it what is in our variables: the status is INTERNAL with
the exception's type. A handler that raises CancelledError without having been cancelled would leave its caller without any
status (upstream issue 29248), so it is told apart from a caller that has gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND
from fanmesh.runtime.clock import sleep
from fanmesh.transport import status
from fanmesh.transport.port import (
    Compression,
    DuplexHandler,
    Metadata,
    Routes,
    ServerOptions,
    StatusError,
    StreamHandler,
    UnaryHandler,
)

_log: Final = logging.getLogger(__name__)

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


TELL: Final = 50 * MS
"""For those who watch health to be told NOT_SERVING, before a graceful stop cancels their calls."""


class GrpcCall:
    """A ServerCall over grpc's context."""

    __slots__ = ("_context", "_metadata")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._metadata: Metadata | None = None

    @property
    def metadata(self) -> Metadata:
        """What the caller sent."""
        if self._metadata is None:
            self._metadata = self._context.invocation_metadata()
        return self._metadata

    @property
    def peer(self) -> str:
        """Who the caller is."""
        peer: str = self._context.peer()
        return peer

    def header(self, key: str) -> str:
        """The first text value under `key`, or the empty string."""
        return next((value for name, value in self.metadata if name == key and isinstance(value, str)), "")

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None if it set none."""
        remaining: float | None = self._context.time_remaining()
        return remaining

    def set_trailers(self, trailers: Metadata) -> None:
        """Trailing metadata of an OK answer."""
        self._context.set_trailing_metadata(tuple(trailers))

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the call has ended."""
        self._context.add_done_callback(lambda _: callback())

    async def send_headers(self, metadata: Metadata) -> None:
        """Send initial metadata."""
        await self._context.send_initial_metadata(tuple(metadata))

    async def write(self, message: bytes) -> None:
        """Send one message of a streamed answer."""
        await self._context.write(message)


async def _fail(context: Any, error: StatusError) -> NoReturn:
    message = status.clip(error.message)
    trailers = status.trailers(error.code, message, error.details, error.trailers)
    await context.abort(_CODES[int(error.code)], message, tuple(trailers))
    raise AssertionError("abort returned")


async def _guard(context: Any, answer: Awaitable[Any], path: str) -> Any:
    """The handler's answer, or a status for whatever else it did."""
    try:
        return await answer
    except StatusError as e:
        await _fail(context, e)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        _log.exception("%s ended in a cancellation of its own", path)
        await _fail(context, StatusError(Code.INTERNAL, "the handler was cancelled from inside"))
    except (grpc.aio.BaseError, GeneratorExit):
        raise  # the caller has gone while we were writing to it
    except Exception as e:  # noqa: BLE001  (whatever a handler does, its caller gets a status)
        _log.exception("%s failed", path)
        await _fail(context, StatusError(Code.INTERNAL, type(e).__name__))


class _Running:
    """How many calls are being answered; health and reflection streams, which never end, do not count."""

    __slots__ = ("count", "idle")

    def __init__(self) -> None:
        self.count = 0
        self.idle = asyncio.Event()

    def enter(self, context: Any) -> None:
        self.count += 1
        context.add_done_callback(self._leave)

    def _leave(self, _: Any) -> None:
        self.count -= 1
        if not self.count:
            self.idle.set()

    async def until_idle(self) -> None:
        while self.count:
            self.idle.clear()
            await self.idle.wait()


def _unary(path: str, handler: UnaryHandler, running: _Running) -> grpc.RpcMethodHandler:
    async def behaviour(request: bytes, context: Any) -> Any:
        running.enter(context)
        return await _guard(context, handler(request, GrpcCall(context)), path)

    return grpc.unary_unary_rpc_method_handler(behaviour)


def _stream(path: str, handler: StreamHandler, running: _Running) -> grpc.RpcMethodHandler:
    async def pump(parts: AsyncIterator[bytes], context: Any) -> None:
        try:
            async for part in parts:
                await context.write(part)
        finally:
            if (close := getattr(parts, "aclose", None)) is not None:
                await close()

    async def behaviour(request: bytes, context: Any) -> None:
        running.enter(context)
        await _guard(context, pump(handler(request, GrpcCall(context)), context), path)

    return grpc.unary_stream_rpc_method_handler(behaviour)


def _duplex(path: str, handler: DuplexHandler, running: _Running) -> grpc.RpcMethodHandler:
    async def behaviour(requests: AsyncIterator[bytes], context: Any) -> None:
        running.enter(context)
        await _guard(context, handler(requests, GrpcCall(context)), path)

    return grpc.stream_stream_rpc_method_handler(behaviour)


class _Table(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """All routes in one dictionary."""

    def __init__(self, routes: Routes, running: _Running) -> None:
        self._handlers = {
            **{path: _unary(path, handler, running) for path, handler in routes.unary.items()},
            **{path: _stream(path, handler, running) for path, handler in routes.stream.items()},
            **{path: _duplex(path, handler, running) for path, handler in routes.duplex.items()},
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)


def window_arguments(window: int | None) -> list[tuple[str, int]]:
    """`window` of the options in the words of the core; its probe is what makes a window grow with the line."""
    return [] if window is None else [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", window)]


def grpc_compression(compression: Compression) -> grpc.Compression | None:
    """The same for grpcio. None and not NoCompression: a channel without a word of it is as it always was."""
    return grpc.Compression.Gzip if compression is Compression.GZIP else None


class GrpcServer:
    """A listening server."""

    def __init__(self, listen: str, routes: Routes, names: Sequence[str], options: ServerOptions) -> None:
        self._running = _Running()
        self._server = grpc.aio.server(
            compression=grpc_compression(options.compression),
            options=[
                ("grpc.max_receive_message_length", options.receive_limit),
                *window_arguments(options.window),
                ("grpc.so_reuseport", int(options.reuse_port)),
                # Callers ping every 10 s while a call runs; the core's default takes more than one in 5 min for an attack.
                ("grpc.http2.min_ping_interval_without_data_ms", 5000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
                *([("grpc.max_connection_age_ms", int(age * 1000))] if (age := options.connection_age) is not None else []),
            ],
        )
        self._server.add_generic_rpc_handlers((_Table(routes, self._running),))
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        services = routes.services()
        reflection.enable_server_reflection(
            (*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), self._server
        )
        self._names = (*services, *names)
        try:
            self.port: int = self._server.add_insecure_port(listen)
        except RuntimeError as e:
            raise OSError(f"cannot listen on {listen}: {e}") from None

    async def start(self) -> None:
        """Accept calls."""
        for name in self._names:
            await self._health.set(name, _SERVING)
        await self._server.start()

    async def set_serving(self, service: str, serving: bool) -> None:  # noqa: FBT001  (reads as a sentence)
        """What health says of `service`."""
        await self._health.set(service, _SERVING if serving else _NOT_SERVING)

    async def stop(self, grace: float = 0.0, announce: float = 0.0) -> None:
        """Say NOT_SERVING, `announce` seconds later take no new calls, let those that run end for `grace`, cancel the rest.

        The core ends a call CANCELLED that reaches it after it was told to stop and before the caller has heard of that. Only
        callers that have gone by then are spared, and `announce` is the time that they have for it.
        """
        await self._health.enter_graceful_shutdown()
        least = TELL if grace > 0 else 0  # a server with nothing to do would cancel its watchers before they are told
        await sleep(max(round(announce * SECOND), least))
        if grace > 0:
            # grpc would wait for health watchers too, which stay as long as there is a server.
            stopping = asyncio.ensure_future(self._server.stop(grace))
            idle = asyncio.ensure_future(self._running.until_idle())
            await asyncio.wait((stopping, idle), return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
        await self._server.stop(None)
