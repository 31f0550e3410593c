"""The fast transport as the port has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fanmesh.transport.fast.channel import FastChannel
from fanmesh.transport.fast.server import FastServer
from fanmesh.transport.port import ChannelOptions, Routes, ServerOptions

_DEFAULTS: Final = ChannelOptions()
_SERVER_DEFAULTS: Final = ServerOptions()


class FastTransport:
    """gRPC over libnghttp2."""

    def connect(self, address: str, options: ChannelOptions = _DEFAULTS) -> FastChannel:
        """A channel to `address`. Connects when first used. ValueError for an address of a kind that it cannot reach (xds)."""
        return FastChannel(address, options)

    def server(
        self, listen: str, routes: Routes, *, names: Sequence[str] = (), options: ServerOptions = _SERVER_DEFAULTS
    ) -> FastServer:
        """A server bound to `listen`. OSError if the address is taken."""
        return FastServer(listen, routes, names, options)
