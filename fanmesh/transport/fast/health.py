"""gRPC health checking, served over the port: what grpcio-health-checking says, without grpc.aio under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from fanmesh.model.fault import Code
from fanmesh.transport.port import Routes, ServerCall, StatusError

SERVICE: Final[str] = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """What is said of each service; of the whole server under the empty name."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {"": _SERVING}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._stopping = False

    def set(self, names: Iterable[str], *, serving: bool) -> None:
        """Say this of the services. Nothing changes any more once the server stops."""
        if not self._stopping:
            self._set(names, _SERVING if serving else _NOT_SERVING)

    def stop(self) -> bool:
        """Say NOT_SERVING of everything, for good. Whether somebody watches and has to be told."""
        self._stopping = True
        self._set(tuple(self._said), _NOT_SERVING)
        return bool(self._watchers)

    def _set(self, names: Iterable[str], status: int) -> None:
        for name in names:
            self._said[name] = status
            for event in self._watchers.get(name, ()):
                event.set()

    def routes(self) -> Routes:
        """The methods."""
        return Routes(unary={f"/{SERVICE}/Check": self._check}, stream={f"/{SERVICE}/Watch": self._watch})

    async def _check(self, request: bytes, _: ServerCall) -> bytes:
        status = self._said.get(_name(request))
        if status is None:
            raise StatusError(Code.NOT_FOUND, "unknown service")
        return _response(status)

    async def _watch(self, request: bytes, _: ServerCall) -> AsyncIterator[bytes]:
        name = _name(request)
        changed = asyncio.Event()
        self._watchers.setdefault(name, set()).add(changed)
        last: int | None = None
        try:
            while True:
                changed.clear()
                if (status := self._said.get(name, _UNKNOWN)) != last:
                    last = status
                    yield _response(status)
                else:
                    await changed.wait()
        finally:
            self._watchers[name].discard(changed)
            if not self._watchers[name]:
                del self._watchers[name]


def _name(request: bytes) -> str:
    try:
        name: str = health_pb2.HealthCheckRequest.FromString(request).service
    except DecodeError:
        raise StatusError(Code.INVALID_ARGUMENT, "no HealthCheckRequest") from None
    return name


def _response(status: int) -> bytes:
    payload: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
    return payload
