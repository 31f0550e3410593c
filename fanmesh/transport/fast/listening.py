"""The sockets of a server, bound when it is made: whoever makes it learns at once whether the address is free, and the port."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from fanmesh.transport.fast.address import split

BACKLOG: Final = 1024
"""Connections that wait to be accepted: after a restart all callers come at once."""


def bind(listen: str, *, reuse_port: bool) -> tuple[list[socket.socket], int]:
    """Listening sockets for `host:port` or `unix:path`, and the port (0 for a path). OSError if the address is taken."""
    try:
        if listen.startswith("unix:"):
            return [_unix(listen.removeprefix("unix:").removeprefix("//"))], 0
        host, port = split(listen, listen)
        return _tcp(host, port, reuse_port=reuse_port)
    except (OSError, ValueError) as e:
        raise OSError(f"cannot listen on {listen}: {e}") from None


def _tcp(host: str, port: int, *, reuse_port: bool) -> tuple[list[socket.socket], int]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    entries = dict.fromkeys((family, address) for family, _, _, _, address in found)
    if any(family == socket.AF_INET6 and address[0] == "::" for family, address in entries):
        entries = {(family, address): None for family, address in entries if family == socket.AF_INET6}  # takes IPv4, too
    sockets: list[socket.socket] = []
    try:
        for family, address in entries:
            one = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
            one.bind((address[0], port, *address[2:]))
            port = one.getsockname()[1]
            one.setblocking(False)
            one.listen(BACKLOG)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets, port


def _unix(path: str) -> socket.socket:
    """A socket at a path. One that a dead server has left there is replaced."""
    with suppress(FileNotFoundError):
        if Path(path).is_socket() and not _answers(path):
            Path(path).unlink()
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(path)
        one.setblocking(False)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True


def peer_name(transport_peer: object, family: int) -> str:
    """Who is at the other end, as gRPC writes it: `ipv4:127.0.0.1:4711`, `ipv6:[::1]:4711`, `unix:`."""
    if family == socket.AF_UNIX or not isinstance(transport_peer, tuple):
        return "unix:"
    host, port = transport_peer[:2]
    if host.startswith("::ffff:"):
        return f"ipv4:{host.removeprefix('::ffff:')}:{port}"
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
