"""Somebody's gRPC service in Python, generated from examples/foreign/shop.proto: it never heard of Fanmesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha import reflection

from tests.kit.protos import SHOP, descriptors, stubs

SERVICE: Final = "shop.CurrencyService"
CONVERT: Final = f"{SERVICE}/Convert"
HISTORY: Final = f"{SERVICE}/History"


def shop_descriptors() -> bytes:
    """What shop.proto says, as a FileDescriptorSet."""
    return descriptors(SHOP.read_text(), "shop.proto")


class Shop:
    """A servicer that keeps what it is sent, and misbehaves by the code of the currency."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.remaining: list[float | None] = []
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.refusals = 0
        self.port = 0
        self.messages, services = stubs(SHOP)
        self._services = services

    def note(self, request: Any, context: Any) -> None:
        """Keep it."""
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining.append(context.time_remaining())

    async def Convert(self, request: Any, context: Any) -> Any:  # noqa: N802  (gRPC's)
        """Half of it in every currency but some."""
        self.note(request, context)
        match request.to_code:
            case "RICH":
                rich = Status(code=9, message="no")
                rich.details.add().Pack(BadRequest(field_violations=[{"field": "from.units", "description": "too few"}]))
                context.set_trailing_metadata((("grpc-status-details-bin", rich.SerializeToString()),))
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no")
            case "GONE" if self.refusals:
                self.refusals -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
            case "BIG":
                return self.messages.ConvertResponse(result={"currency_code": "x" * 5000})
            case "HANG":
                self.arrived.set()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self.cancelled.set()
        half = {"currency_code": request.to_code, "units": getattr(request, "from").units // 2}
        return self.messages.ConvertResponse(result=half, source="SOURCE_FIXED")

    async def History(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """As many as are asked for."""
        self.note(request, context)
        for day in range(request.days):
            yield self.messages.Rate(day={"seconds": 86_400 * day}, rate=float("nan") if request.code == "NAN" else day / 2)
        if request.code == "BROKEN":
            await context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")

    @asynccontextmanager
    async def serving(self, *, reflects: bool = False, port: int = 0) -> AsyncIterator[str]:
        """Serve; where."""
        server = grpc.aio.server()
        self._services.add_CurrencyServiceServicer_to_server(self, server)
        if reflects:
            reflection.enable_server_reflection((SERVICE, reflection.SERVICE_NAME), server)
        self.port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            yield f"127.0.0.1:{self.port}"
        finally:
            await server.stop(None)
