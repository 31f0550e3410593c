"""Addresses and targets: what may stand in a configuration, checked before anything tries to connect.

gRPC accepts almost any text as a target and fails at the first call; `check` has to say it earlier, and in our words.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from dispatcher.config.problems import Wrong, shown

HOST_PORT: Final = "host:port such as localhost:50051"
TARGET: Final = "dns:///host:port, host:port, ipv4:1.2.3.4:port, unix:/path or xds:///name"

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):(?![0-9]+$)")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def parse_host_port(value: object) -> str:
    """`host:port`, `1.2.3.4:port` or `[::1]:port` with a port from 1 to 65535, unchanged. Raises Wrong."""
    return _host_port(value, 1)


def parse_listen(value: object) -> str:
    """An address to listen on: like parse_host_port, and port 0 = any free one; or `unix:/path`. Raises Wrong."""
    if isinstance(value, str) and value.startswith("unix:"):
        return parse_target(value)
    return _host_port(value, 0)


def parse_target(value: object) -> str:
    """A target with its scheme; one without is dns: `geo:50051` → `dns:///geo:50051`. Raises Wrong."""
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not a target", TARGET)
    scheme = found[1] if (found := _SCHEME.match(value)) else ""
    rest = value.removeprefix(f"{scheme}:") if scheme else value
    match scheme:
        case "":
            return f"dns:///{parse_host_port(value)}"
        case "dns" if rest.startswith("///"):
            return f"dns:///{parse_host_port(rest.removeprefix('///'))}"
        case "ipv4":
            return f"ipv4:{_ipv4(rest)}"
        case "unix" if rest.startswith("//"):
            return f"unix:{_path(rest.removeprefix('//'), value)}"
        case "unix":
            return f"unix:{_path(rest, value)}"
        case "xds" if rest.strip("/") and rest.isprintable() and " " not in rest:
            return value  # its meaning belongs to the control plane
        case _:
            raise Wrong(f"{shown(value)} is not a target", TARGET)


def is_one(target: str) -> bool:
    """Whether a target is one endpoint by its scheme, whatever stands behind it: a socket, or a name that gRPC resolves."""
    return target.startswith(("unix:", "xds:"))


def parse_aggregator(value: object) -> str:
    """`embedded`, or the target of an Aggregator service. Raises Wrong."""
    return "embedded" if value == "embedded" else parse_target(value)


def parse_callable(value: object) -> str:
    """`package.module:function`, unchanged. Raises Wrong."""
    if isinstance(value, str) and _MODULE.fullmatch(value):
        return value
    raise Wrong(f"{shown(value)} names no function", "package.module:function")


def _host_port(value: object, lowest: int) -> str:
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not an address", HOST_PORT)
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise Wrong(f"{shown(value)} has no port", HOST_PORT)
    if len(port) > 5 or not lowest <= int(port) <= 65535:
        raise Wrong(f"{shown(port)} is not a port", f"a port from {lowest} to 65535")
    if not (_is_ip(host[1:-1], 6) if host.startswith("[") and host.endswith("]") else _HOST.fullmatch(host)):
        raise Wrong(f"{shown(host)} is not a host" if host else f"{value} has no host", HOST_PORT)
    return value


def _ipv4(value: str) -> str:
    if "," in value:
        raise Wrong("several addresses in one target", "one, or a list of endpoints")
    address = parse_host_port(value)
    if not _is_ip(address.rpartition(":")[0], 4):
        raise Wrong(f"{shown(value)} is not an IPv4 address with a port", "ipv4:1.2.3.4:port")
    return address


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _path(path: str, value: str) -> str:
    if not path or not path.isprintable():
        raise Wrong(f"{shown(value)} has no path", "unix:/path")
    return path
