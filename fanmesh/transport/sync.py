"""A blocking channel for the synchronous client.

grpc's own synchronous API and not an event loop in a thread: it is safe to call from any thread, a KeyboardInterrupt reaches
it, and programs that use it usually have no loop and want none.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import grpc

from fanmesh.runtime.clock import now_ns
from fanmesh.transport.failures import closed, failure, late, no_time, unusable
from fanmesh.transport.grpc_aio import channel_arguments
from fanmesh.transport.grpc_server import grpc_compression
from fanmesh.transport.port import ChannelOptions, Metadata, Reply, RpcError
from fanmesh.transport.sendable import unsendable

_DEFAULTS: Final = ChannelOptions()


class SyncChannel:
    """One address. Safe to share between threads."""

    def __init__(self, address: str, options: ChannelOptions = _DEFAULTS) -> None:
        self.address = address
        compression = grpc_compression(options.compression)
        self._channel = grpc.insecure_channel(address, options=channel_arguments(options), compression=compression)

    def unary(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> Reply:
        """One request, one answer. `timeout` in seconds. Raises RpcError."""
        started = self._begin(timeout)
        try:
            response, call = self._channel.unary_unary(path).with_call(request, timeout=timeout, metadata=tuple(metadata))
        except grpc.RpcError as e:
            raise self._error(e, started, timeout) from None
        except ValueError as e:
            raise self._refused(e, metadata) from None
        return Reply(response, call.trailing_metadata() or ())

    def stream(self, path: str, request: bytes, *, timeout: float | None = None, metadata: Metadata = ()) -> Generator[bytes]:
        """One request, many answers. Closing the generator cancels the call at the peer."""
        started = self._begin(timeout)
        try:
            call = self._channel.unary_stream(path)(request, timeout=timeout, metadata=tuple(metadata))
        except ValueError as e:
            raise self._refused(e, metadata) from None
        try:
            yield from call
        except grpc.RpcError as e:
            raise self._error(e, started, timeout) from None
        finally:
            call.cancel()

    def _refused(self, error: ValueError, metadata: Metadata) -> RpcError:
        """Grpc says ValueError of a channel that was closed, and of metadata that cannot be sent."""
        return unusable(error, metadata) if unsendable(metadata) else closed(self.address)

    def _begin(self, timeout: float | None) -> int:
        if timeout is not None and timeout <= 0:
            raise no_time()
        return now_ns()

    def _error(self, error: Any, started: int, timeout: float | None) -> RpcError:
        return failure(
            error.code().value[0],
            error.details() or "",
            error.trailing_metadata() or (),
            address=self.address,
            connected=True,  # nobody asks: to watch the state costs a thread, which outlives the channel and complains
            late=late(now_ns() - started, timeout),
        )

    def close(self) -> None:
        """Cancel what runs, and disconnect."""
        self._channel.close()
