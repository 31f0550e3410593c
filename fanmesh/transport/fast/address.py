"""What an address means: where to connect to, and what to call it.

The forms are those of gRPC's core, so that both transports take the same.
"""

from __future__ import annotations

import ssl
from typing import Final, NamedTuple

_SCHEMES: Final = ("dns:", "ipv4:", "ipv6:")


class Target(NamedTuple):
    """Where to connect to: a path of a unix socket, or host and port. `authority` is what requests name.

    `name` is whose address the host is, if it is somebody's.
    """

    host: str
    port: int
    path: str
    authority: str
    tls: ssl.SSLContext | None = None
    name: str = ""

    def at(self, host: str, port: int) -> Target:
        """The same service at one of its addresses."""
        return self._replace(host=host, port=port, name=self.name or self.host)

    @property
    def certified(self) -> str | None:
        """Whom the server's certificate must be for, which it is also told (SNI); None without TLS."""
        if self.tls is None:
            return None
        return self.authority if self.path else self.name or self.host


def parse(address: str, tls: ssl.SSLContext | None = None) -> Target:
    """The target of `host:port`, `dns:…`, `ipv4:…`, `ipv6:…` or `unix:…`. ValueError for what this transport cannot reach."""
    if address.startswith("xds:"):
        raise ValueError(f"{address}: xds needs the grpcio transport")
    if address.startswith("unix:"):
        return Target("", 0, address.removeprefix("unix:").removeprefix("//"), "localhost", tls)
    bare = address
    for scheme in _SCHEMES:
        if address.startswith(scheme):
            bare = address.removeprefix(scheme).removeprefix("//").rpartition("/")[2]
    host, port = split(bare, address)
    return Target(host, port, "", bare, tls)


def split(bare: str, address: str) -> tuple[str, int]:
    """Host and port of `host:port`, an IPv6 host in brackets. ValueError, naming `address`."""
    host, colon, port = bare.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address}: host:port is expected")
    return host.removeprefix("[").removesuffix("]"), int(port)
