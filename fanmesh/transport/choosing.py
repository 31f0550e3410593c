"""Transports by their names in configuration files and on command lines, each made when first asked for.

By name and not by class, since the fast one needs a package that not everybody installs: who never names it never imports it.
"""

from __future__ import annotations

from typing import Final

from fanmesh.runtime import environ
from fanmesh.transport.grpc_aio import GrpcTransport
from fanmesh.transport.port import Transport

GRPCIO: Final = "grpcio"
FAST: Final = "fast"
NAMES: Final = (GRPCIO, FAST)

VARIABLE: Final = "FANMESH_TRANSPORT"
"""The environment variable that names the transport where nothing else does."""


class UnknownTransport(ValueError):  # noqa: N818  (what it is)
    """No transport has this name, or its package is not installed. The text says what to do."""


def by_name(name: str) -> Transport:
    """The transport of this name. UnknownTransport."""
    if name == GRPCIO:
        return GrpcTransport()
    if name == FAST:
        try:
            from fanmesh.transport.fast import FastTransport  # noqa: PLC0415  (see the head)
        except ImportError as e:
            raise UnknownTransport(str(e)) from e
        return FastTransport()
    raise UnknownTransport(f"no transport is called {name!r}; there are: {', '.join(NAMES)}")


class Transports:
    """The transports of a process. `default` is the one for those who name none: a name, or one that has been made.

    Without it, the environment variable FANMESH_TRANSPORT names it; without that, it is grpcio.
    """

    def __init__(self, default: Transport | str = "") -> None:
        self._made: dict[str, Transport] = {}
        if isinstance(default, str):
            default = self.of(default or environ.text(VARIABLE) or GRPCIO)
        self.default: Transport = default

    def of(self, name: str) -> Transport:
        """The transport of this name; the default for the empty one. UnknownTransport."""
        if not name:
            return self.default
        transport = self._made.get(name)
        if transport is None:
            transport = self._made[name] = by_name(name)
        return transport
